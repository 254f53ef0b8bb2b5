import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletRequestWrapper;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.iceberg.jdbc.JdbcCatalog;
import org.apache.iceberg.rest.RESTCatalogAdapter;
import org.apache.iceberg.rest.RESTCatalogServlet;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;

/**
 * The REST catalog that Iceberg tests its own clients with, over SQL catalogs in memory: one for each first part of the path, so that each
 * test has an empty one. Iceberg's own main class listens on all addresses; this one on loopback. Arguments: the port, then properties of
 * the catalogs as name=value.
 */
class RestCatalog extends HttpServlet {
  private final Map<String, String> properties = new HashMap<>();
  private final Map<String, HttpServlet> catalogs = new ConcurrentHashMap<>();

  @Override
  protected void service(HttpServletRequest request, HttpServletResponse response) throws ServletException, IOException {
    String[] path = request.getRequestURI().substring(1).split("/", 2);
    HttpServlet catalog = catalogs.computeIfAbsent(path[0], this::open);
    String rest = path.length > 1 ? "/" + path[1] : "/";
    catalog.service(
        new HttpServletRequestWrapper(request) {
          @Override
          public String getRequestURI() {
            return rest;
          }
        },
        response);
  }

  private HttpServlet open(String name) {
    JdbcCatalog catalog = new JdbcCatalog();
    Map<String, String> own = new HashMap<>(properties);
    own.put("warehouse", properties.get("warehouse") + "/" + name);
    catalog.initialize(name, own);
    return new RESTCatalogServlet(new RESTCatalogAdapter(catalog));
  }

  public static void main(String[] arguments) throws Exception {
    RestCatalog catalogs = new RestCatalog();
    for (int i = 1; i < arguments.length; i++) {
      String[] pair = arguments[i].split("=", 2);
      catalogs.properties.put(pair[0], pair[1]);
    }
    ServletContextHandler context = new ServletContextHandler(ServletContextHandler.NO_SESSIONS);
    context.addServlet(new ServletHolder(catalogs), "/*");
    Server server = new Server(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])));
    server.setHandler(context);
    server.start();
    server.join();
  }
}
