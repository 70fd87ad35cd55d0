//! Devices that sync over TLS, as processes.

use serde_json::Value;

use super::authority::Authority;
use graceful_testing::program::{Home, Relay, pair};

const SELF_SIGNED: &str = "[tls]\nmode = \"self-signed\"\n";

fn serve(home: &Home, config: &str, listen: &str) -> Relay {
    std::fs::write(home.path("relay.toml"), config).expect("written");
    let arguments = [
        "serve",
        "--json",
        "--config",
        "relay.toml",
        "--listen",
        listen,
        "--data-dir",
        "relay",
    ];
    let running = home.start(&arguments, "");
    let url = running.json_line()["url"]
        .as_str()
        .expect("a URL")
        .to_owned();
    Relay { running, url }
}

fn status(home: &Home) -> Value {
    home.run(&["status", "--json", "--data-dir", "relay"])
        .success()
        .json()
        .remove(0)
}

#[test]
fn relay_without_name_is_pinned_by_key() {
    let home = Home::new();
    let mut relay = serve(&home, SELF_SIGNED, "127.0.0.1:0");
    let (bare, key) = relay.url.split_once('#').expect("a key");
    assert!(bare.starts_with("wss://127.0.0.1:"), "{bare}");
    let status = status(&home);
    assert_eq!(
        (&status["tls"], &status["relay_key"]),
        (&"self-signed".into(), &key.into())
    );
    assert_eq!(status["certificate_expires"], "9999-01-01 00:00 UTC");

    relay.create(&home, "desk", "Desk");
    let link = pair(&home, "desk", "phone", "Phone");
    assert!(link.contains(&format!("%23{key}")), "{link}");
    home.client("phone", &["push", "Milk"]).success();
    let followed = home.client("desk", &["pull", "--until", "1"]).success();
    assert_eq!(followed.out, "Phone (phone)  Milk\n");
    let phone = home.client("phone", &["status", "--json"]).success().json();
    assert_eq!(phone[0]["relay"], relay.url.as_str());

    // The key outlives the process, and devices find the relay again by it.
    let port = bare.rsplit(':').next().expect("a port").to_owned();
    relay.running.kill();
    let again = serve(&home, SELF_SIGNED, &format!("127.0.0.1:{port}"));
    assert_eq!(again.url, relay.url);
    home.client("phone", &["push", "Bread"]).success();
    home.client("desk", &["pull", "--until", "1"]).success();
}

#[test]
fn impostor_relay_is_rejected() {
    let home = Home::new();
    let mut relay = serve(&home, SELF_SIGNED, "127.0.0.1:0");
    let bare = relay.url.split('#').next().expect("an address").to_owned();
    let create = |url: &str| home.client("stranger", &["init", "--relay", url]);
    create(&bare).failure(&["not trusted by this system", "wss://HOST#KEY"]);
    let other = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    create(&format!("{bare}#{other}")).failure(&["does not match the key in its address"]);
    create(&relay.url[..relay.url.len() - 1]).failure(&["not a relay key"]);
    create(&bare.replace("wss", "ws")).failure(&["cannot reach relay"]);

    relay.create(&home, "desk", "Desk");
    // Another relay takes its place.
    let port = bare.rsplit(':').next().expect("a port").to_owned();
    relay.running.kill();
    std::fs::remove_dir_all(home.path("relay/tls")).expect("ours");
    let _impostor = serve(&home, SELF_SIGNED, &format!("127.0.0.1:{port}"));
    let status = home.client("desk", &["status"]).success();
    assert!(status.out.contains("does not match"), "{status:?}");
}

#[cfg(unix)]
#[test]
fn tls_key_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let _relay = serve(&home, SELF_SIGNED, "127.0.0.1:0");
    let mode = |name: &str| {
        std::fs::metadata(home.path(name))
            .expect("there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(
        (mode("relay/tls/self-signed.pem"), mode("relay/tls")),
        (0o600, 0o700)
    );
}

#[test]
fn relay_with_certificate_is_dialed_by_name() {
    let home = Home::new();
    let authority = Authority::new();
    let files = authority.write(home.folder.path(), &["localhost"]);
    std::fs::write(home.path("root.pem"), authority.root_pem()).expect("written");
    let config = format!(
        "[tls]\nmode = \"manual\"\ncertificate = {:?}\nkey = {:?}\n",
        files.certificate, files.key
    );
    let mut relay = serve(&home, &config, "127.0.0.1:0");
    assert!(
        relay.url.starts_with("wss://localhost:") && !relay.url.contains('#'),
        "{}",
        relay.url
    );
    let invite = relay.invite(&home);
    let create = |profile: &str, url: &str, trusted: &str| {
        let arguments = [
            "client",
            "--profile",
            profile,
            "init",
            "--relay",
            url,
            "--invite",
            &invite,
            "--name",
            "Desk",
        ];
        home.start_with(&arguments, "", &[("SSL_CERT_FILE", trusted)])
            .wait()
    };
    let by_address = relay.url.replace("localhost", "127.0.0.1");
    create("a", &by_address, "root.pem").failure(&["for another host name", "localhost"]);
    std::fs::write(home.path("other.pem"), Authority::new().root_pem()).expect("written");
    create("b", &relay.url, "other.pem").failure(&["not trusted by this system"]);
    create("desk", &relay.url, "root.pem").success();

    let reloaded = home.run(&["reload", "--data-dir", "relay"]).success();
    assert!(
        reloaded
            .out
            .contains("reloaded the certificate; the certificate is valid until"),
        "{reloaded:?}"
    );
    let (chain, _) = authority.chain(&["localhost"]);
    std::fs::write(&files.certificate, chain).expect("written");
    home.run(&["reload", "--data-dir", "relay"])
        .failure(&["do not belong together", "stays in use"]);
    assert!(
        status(&home)["tls_trouble"]
            .as_str()
            .is_some_and(|text| text.contains("stays in use"))
    );

    // The same on the signal of service managers, which must not end it.
    let (chain, key) = authority.chain(&["localhost"]);
    files.replace(&chain, &key);
    let told = std::process::Command::new("kill")
        .args(["-HUP", &relay.running.id().to_string()])
        .status();
    assert!(told.expect("kill is there").success());
    let deadline = std::time::Instant::now() + graceful_testing::program::LONG;
    while status(&home).get("tls_trouble").is_some() {
        assert!(
            std::time::Instant::now() < deadline,
            "it does not take the good pair"
        );
    }
    assert!(!relay.running.has_ended());
}

#[test]
fn missing_tls_files_are_reported_at_start() {
    let home = Home::new();
    let config =
        "[tls]\nmode = \"manual\"\ncertificate = \"/nowhere/c.pem\"\nkey = \"/nowhere/k.pem\"\n";
    std::fs::write(home.path("relay.toml"), config).expect("written");
    let arguments = [
        "serve",
        "--config",
        "relay.toml",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        "relay",
    ];
    home.run(&arguments)
        .failure(&["cannot read /nowhere/c.pem"]);
}
