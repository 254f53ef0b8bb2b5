//! The command line itself. What commands do to tables and clusters is tested from `tests/`.

use std::process::Command;

fn bergmill(arguments: &[&str]) -> (bool, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_bergmill")).args(arguments).output().expect("bergmill runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.success(), text(&out.stdout), text(&out.stderr))
}

#[test]
fn every_command_has_help() {
    let (ok, help, _) = bergmill(&["--help"]);
    assert!(ok);
    for command in ["demo", "serve", "scheduler", "executor", "sql", "load", "job"] {
        assert!(help.contains(command), "{help}");
        let (ok, help, _) = bergmill(&[command, "--help"]);
        assert!(ok && help.contains("Usage: bergmill"), "{command}: {help}");
    }
    let (ok, version, _) = bergmill(&["--version"]);
    assert!(ok && version.trim() == format!("bergmill {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn pipelines_are_listed_without_a_cluster() {
    let (ok, list, _) = bergmill(&["job", "list"]);
    assert!(ok && list.contains("daily_analytics") && list.contains("export_report"), "{list}");
}

#[test]
fn wrong_arguments_are_refused_with_a_hint() {
    let check = |arguments: &[&str], expected: &str| {
        let (ok, _, err) = bergmill(arguments);
        assert!(!ok && err.contains(expected), "{arguments:?}: {err}");
    };
    check(&["sqll"], "similar subcommand");
    check(&["job", "run", "daily_report", "--date", "yesterday"], "is not a date like 2026-02-14");
    check(&["load", "x.csv", "--into", "a.b.c.d"], "is not namespace.table");
    check(&["sql", "-f", "no-such-file.sql"], "no-such-file.sql");
    check(&["demo", "--events", "10", "--days", "0"], "error");
    check(&["executor", "--scheduler", "nowhere"], "is not host:port");
    check(&["scheduler", "--listen", "0.0.0.0:0"], "--insecure-listen");
    check(&["executor", "--listen", "0.0.0.0:0"], "--insecure-listen");
    check(&["scheduler", "--cluster-listen", "0.0.0.0:0", "--insecure-listen", "true"], "--advertise HOST");
    check(&["health"], "required");
    check(&["health", "--executor", "127.0.0.1:1"], "cannot connect to 127.0.0.1:1");
    check(&["health", "--connect", "127.0.0.1:1"], "cannot connect to 127.0.0.1:1");
}
