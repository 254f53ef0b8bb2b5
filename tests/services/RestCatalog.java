import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletRequestWrapper;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.iceberg.catalog.Catalog;
import org.apache.iceberg.catalog.TableIdentifier;
import org.apache.iceberg.exceptions.NoSuchTableException;
import org.apache.iceberg.jdbc.JdbcCatalog;
import org.apache.iceberg.rest.Endpoint;
import org.apache.iceberg.rest.HTTPRequest;
import org.apache.iceberg.rest.RESTCatalogAdapter;
import org.apache.iceberg.rest.RESTCatalogServlet;
import org.apache.iceberg.rest.RESTResponse;
import org.apache.iceberg.rest.RESTUtil;
import org.apache.iceberg.rest.credentials.Credential;
import org.apache.iceberg.rest.credentials.ImmutableCredential;
import org.apache.iceberg.rest.responses.ConfigResponse;
import org.apache.iceberg.rest.responses.ErrorResponse;
import org.apache.iceberg.rest.responses.ErrorResponseParser;
import org.apache.iceberg.rest.responses.ImmutableLoadCredentialsResponse;
import org.apache.iceberg.rest.responses.LoadCredentialsResponseParser;
import org.apache.iceberg.rest.responses.LoadTableResponse;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.sts.StsClient;
import software.amazon.awssdk.services.sts.model.Credentials;

/**
 * The REST catalog with which Iceberg tests its own clients, over SQL catalogs in memory: one for each first part of the path, so that each
 * test has an empty one. Iceberg's own main class listens on all addresses, this one on loopback. Arguments: the port, then properties of
 * the catalogs as name=value.
 *
 * <p>Catalogs below /vended/ vend credentials to clients that request them, which Iceberg's adapter does not: see {@link Vending}.
 */
class RestCatalog extends HttpServlet {
  private final Map<String, String> properties = new HashMap<>();
  private final Map<String, HttpServlet> catalogs = new ConcurrentHashMap<>();

  @Override
  protected void service(HttpServletRequest request, HttpServletResponse response) throws ServletException, IOException {
    String all = request.getRequestURI().substring(1);
    boolean vends = all.startsWith("vended/");
    String[] path = (vends ? all.substring("vended/".length()) : all).split("/", 2);
    String name = vends ? "vended/" + path[0] : path[0];
    HttpServlet catalog = catalogs.computeIfAbsent(name, this::open);
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
    return name.startsWith("vended/") ? new Vending(catalog, own) : new RESTCatalogServlet(new RESTCatalogAdapter(catalog));
  }

  /**
   * A catalog that vends temporary credentials of MinIO's STS, each for the files of one table only. Their announced expiry is earlier than
   * the real one, after the seconds of property vended.seconds. GET /requests lists the requests, one per line: process, method, path, and for
   * vended credentials "vended", when they were vended and when they expire, in milliseconds.
   */
  private static class Vending extends HttpServlet {
    private static final Pattern CREDENTIALS = Pattern.compile("/v1/namespaces/([^/]+)/tables/([^/]+)/credentials");

    private final ConcurrentLinkedQueue<String> requests = new ConcurrentLinkedQueue<>();
    private final Catalog catalog;
    private final Map<String, String> properties;
    private final StsClient sts;
    private final HttpServlet tables;

    Vending(Catalog catalog, Map<String, String> properties) {
      this.catalog = catalog;
      this.properties = properties;
      AwsBasicCredentials own = AwsBasicCredentials.create(System.getenv("AWS_ACCESS_KEY_ID"), System.getenv("AWS_SECRET_ACCESS_KEY"));
      this.sts =
          StsClient.builder()
              .endpointOverride(URI.create(properties.get("s3.endpoint")))
              .region(Region.of(properties.get("client.region")))
              .credentialsProvider(StaticCredentialsProvider.create(own))
              .httpClient(UrlConnectionHttpClient.create())
              .build();
      this.tables = new RESTCatalogServlet(new Adapter(catalog));
    }

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws ServletException, IOException {
      String token = String.valueOf(request.getHeader("Authorization"));
      String process = token.contains("sub=") ? token.substring(token.indexOf("sub=") + 4) : "unknown";
      String line = process + " " + request.getMethod() + " " + request.getRequestURI();
      Matcher path = CREDENTIALS.matcher(request.getRequestURI());
      if (request.getRequestURI().equals("/requests")) {
        response.getWriter().println(String.join("\n", requests));
      } else if (path.matches()) {
        response.setContentType("application/json");
        try {
          TableIdentifier table = TableIdentifier.of(RESTUtil.decodeNamespace(path.group(1)), RESTUtil.decodeString(path.group(2)));
          Credential vended = vend(catalog.loadTable(table).location(), line);
          response.getWriter().print(LoadCredentialsResponseParser.toJson(ImmutableLoadCredentialsResponse.builder().addCredentials(vended).build()));
        } catch (NoSuchTableException e) {
          response.setStatus(404);
          ErrorResponse error = ErrorResponse.builder().responseCode(404).withType("NoSuchTableException").withMessage(e.getMessage()).build();
          response.getWriter().print(ErrorResponseParser.toJson(error));
        }
      } else {
        if (request.getHeader("X-Iceberg-Access-Delegation") == null) {
          requests.add(line);
        }
        // For the adapter, which does not see this request.
        LINE.set(line);
        tables.service(request, response);
      }
    }

    private static final ThreadLocal<String> LINE = new ThreadLocal<>();

    private Credential vend(String location, String line) {
      String[] at = location.replaceFirst("^s3a?://", "").split("/", 2);
      String policy =
          "{'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': ['s3:GetObject', 's3:PutObject', 's3:DeleteObject', "
              + "'s3:AbortMultipartUpload', 's3:ListMultipartUploadParts'], 'Resource': 'arn:aws:s3:::BUCKET/KEY/*'}, {'Effect': 'Allow', "
              + "'Action': 's3:ListBucket', 'Resource': 'arn:aws:s3:::BUCKET', 'Condition': {'StringLike': {'s3:prefix': 'KEY/*'}}}]}";
      String ofTable = policy.replace("BUCKET", at[0]).replace("KEY", at[1]).replace('\'', '"');
      Credentials vended =
          sts.assumeRole(r -> r.roleArn("arn:minio:iam:::role/tables").roleSessionName("table").durationSeconds(900).policy(ofTable)).credentials();
      long now = Instant.now().toEpochMilli();
      long end = now + Long.parseLong(properties.get("vended.seconds")) * 1000;
      requests.add(line + " vended " + now + " " + end);
      Map<String, String> config = new HashMap<>();
      config.put("s3.access-key-id", vended.accessKeyId());
      config.put("s3.secret-access-key", vended.secretAccessKey());
      config.put("s3.session-token", vended.sessionToken());
      config.put("s3.session-token-expires-at-ms", Long.toString(end));
      for (String name : List.of("client.region", "s3.endpoint", "s3.path-style-access")) {
        config.put(name, properties.get(name));
      }
      return ImmutableCredential.builder().prefix(location).config(config).build();
    }

    private class Adapter extends RESTCatalogAdapter {
      Adapter(Catalog catalog) {
        super(catalog);
      }

      @Override
      protected <T extends RESTResponse> T execute(
          HTTPRequest request, Class<T> type, Consumer<ErrorResponse> failed, Consumer<Map<String, String>> headers) {
        T answer = super.execute(request, type, failed, headers);
        if (answer instanceof ConfigResponse) {
          ConfigResponse response = (ConfigResponse) answer;
          List<Endpoint> endpoints = new ArrayList<>(response.endpoints());
          endpoints.add(Endpoint.V1_TABLE_CREDENTIALS);
          return type.cast(ConfigResponse.builder().withDefaults(response.defaults()).withOverrides(response.overrides()).withEndpoints(endpoints).build());
        }
        if (answer instanceof LoadTableResponse && request.headers().contains("X-Iceberg-Access-Delegation")) {
          LoadTableResponse table = (LoadTableResponse) answer;
          return type.cast(
              LoadTableResponse.builder()
                  .withTableMetadata(table.tableMetadata())
                  .addAllConfig(table.config())
                  .addCredential(vend(table.tableMetadata().location(), LINE.get()))
                  .build());
        }
        return answer;
      }
    }
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
