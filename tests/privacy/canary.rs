//! What a relay can see, checked on the real program: devices pair, sync, misbehave and leave,
//! without TLS and at the highest log level. Then the wire, the relay's files, logs and answers are
//! searched for every secret that went in.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use futures_util::{SinkExt, StreamExt};
use graceful_protocol::frame::{DeviceFrame, device_bytes};
use graceful_protocol::wire::JoinRendezvous;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::search::{Canary, Place, Reach, escaped, unseen};
use crate::tap::Tap;
use graceful_testing::program::{Home, LONG, RunningProgram, write};

/// The relay's folder, below the home.
const DATA: &str = "relay";

/// A random word that existed nowhere before this run.
fn word(what: &str) -> String {
    let mut bytes = [0; 9];
    getrandom::fill(&mut bytes).expect("the system gives randomness");
    format!("{what}-{}", HEXLOWER.encode(&bytes))
}

/// The setup: a relay that logs everything, a tapped wire, and devices.
struct Scene {
    home: Home,
    relay: RunningProgram,
    tap: Tap,
    /// Where it tells its metrics.
    metrics: SocketAddr,
    url: String,
    canaries: Vec<Canary>,
    places: Vec<Place>,
}

impl Scene {
    fn open() -> Self {
        let home = Home::new();
        let arguments = [
            "serve",
            "--json",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            DATA,
        ];
        let environment = [
            ("RUST_LOG", "trace"),
            ("GRACEFUL_RELAY_METRICS__LISTEN", "127.0.0.1:0"),
        ];
        let relay = home.start_with(&arguments, "", &environment);
        let said = relay.json_line();
        let metrics = said["metrics"]
            .as_str()
            .expect("an address")
            .parse()
            .expect("an address");
        let url = said["url"].as_str().expect("a URL").to_owned();
        let address: SocketAddr = url.trim_start_matches("ws://").parse().expect("an address");
        let tap = Tap::before(address);
        let url = format!("ws://{}", tap.address);
        Self {
            home,
            relay,
            tap,
            metrics,
            url,
            canaries: Vec::new(),
            places: Vec::new(),
        }
    }

    fn canary(&mut self, what: &'static str, reach: Reach, bytes: impl Into<Vec<u8>>) {
        self.canaries.push(Canary {
            what,
            reach,
            bytes: bytes.into(),
        });
    }

    /// A word that no one but the devices may know.
    fn secret(&mut self, what: &'static str) -> String {
        let word = word(what);
        self.canary(what, Reach::Devices, word.as_bytes());
        word
    }

    fn place(&mut self, name: impl Into<String>, reach: Reach, bytes: impl Into<Vec<u8>>) {
        self.places.push(Place {
            name: name.into(),
            reach,
            bytes: bytes.into(),
        });
    }

    fn invite(&mut self) -> String {
        let said = self
            .home
            .run(&["invite", "create", "--json", "--data-dir", DATA])
            .success();
        let invitation = said.json()[0]["invite"]
            .as_str()
            .expect("an invitation")
            .to_owned();
        self.canary("the invitation", Reach::Wire, invitation.as_bytes());
        invitation
    }

    fn create(&mut self, profile: &str) {
        let (invitation, name, id) = (
            self.invite(),
            self.secret("device-name"),
            self.secret("device-id"),
        );
        let relay = self.url.clone();
        let create = [
            "init",
            "--relay",
            &relay,
            "--invite",
            &invitation,
            "--name",
            &name,
        ];
        self.home
            .client(profile, &[&create[..], &["--device-id", &id]].concat())
            .success();
        // Used up: refused, and logged if at all without it.
        self.home
            .client("late", &create)
            .failure(&["missing, used or expired"]);
        self.know(profile);
    }

    /// Lets `new` in by a link that `existing` shows.
    fn pair(&mut self, existing: &str, new: &str) -> String {
        let (name, id) = (self.secret("device-name"), self.secret("device-id"));
        let pairing = self
            .home
            .start_client(existing, &["pair", "--yes", "--json"]);
        let link = pairing.json_line()["link"]
            .as_str()
            .expect("a link")
            .to_owned();
        let secret = link
            .rsplit("secret=")
            .next()
            .expect("the secret comes last");
        self.canary("the pairing secret", Reach::Devices, secret.as_bytes());
        self.canary("the pairing secret", Reach::Devices, decode(secret));
        let (_, rendezvous) = link.split_once("&id=").expect("a rendezvous");
        let rendezvous = rendezvous.split('&').next().expect("an id");
        self.canary("the rendezvous id", Reach::Wire, decode(rendezvous));
        self.home
            .client(new, &["join", &link, "--name", &name, "--device-id", &id])
            .success();
        pairing.wait().success();
        self.home.client("late", &["join", &link]).failure(&[]);
        self.know(new);
        name
    }

    /// The content of a device's profile: its secrets, and the ids by which a relay knows it.
    fn know(&mut self, profile: &str) {
        let file = std::fs::read(self.home.path(profile).join("device")).expect("a device file");
        let file: Value = serde_json::from_slice(&file).expect("JSON");
        let mut secrets = vec![
            file["signing_seed"].clone(),
            file["agreement_secret"].clone(),
        ];
        secrets.extend(
            file["epoch_secrets"]
                .as_array()
                .expect("secrets")
                .iter()
                .cloned(),
        );
        for secret in secrets {
            let bytes = decode(secret.as_str().expect("text"));
            assert_eq!(bytes.len(), 32);
            self.canary("a device's secret", Reach::Devices, bytes);
        }
        let status = self
            .home
            .client(profile, &["status", "--json"])
            .success()
            .json()
            .remove(0);
        for (what, key) in [("the account id", "account"), ("a device's key", "device")] {
            let bytes = decode(status[key].as_str().expect("an id"));
            assert_eq!(bytes.len(), 32);
            self.canary(what, Reach::Store, bytes);
        }
    }

    /// Changes of a ledger in which every field is a canary, some of them long and well compressible.
    fn push(&mut self, profile: &str, count: usize) {
        let lines: Vec<String> = (0..count).map(|number| self.change(number)).collect();
        let file = self.home.path("changes.jsonl");
        write(&file, &lines);
        self.home
            .client(profile, &["push", "--jsonl", "changes.jsonl"])
            .success();
    }

    fn change(&mut self, number: usize) -> String {
        let text = self.secret("payload-text");
        json!({
            "id": self.secret("transaction-id"),
            "entity_type": self.secret("entity-type"),
            "entity_id": self.secret("entity-id"),
            "payload": { "name": self.secret("entity-name"), "text": text.repeat(1 + number % 3 * 700) },
            "timestamp": 1_767_225_600_000_u64 + number as u64,
        })
        .to_string()
    }

    fn follow(&self, profile: &str) {
        let followed = self.home.client(profile, &["pull"]).success();
        assert!(followed.out.contains("payload-text"), "nothing came");
    }

    /// Every file below the data folder, as it is now.
    fn files(&mut self, when: &str) {
        let mut found = 0;
        for entry in std::fs::read_dir(self.home.path(DATA)).expect("the data folder") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                let name = path
                    .file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned();
                let bytes = std::fs::read(&path).expect("a file");
                found += bytes.len();
                self.place(format!("the file {name} {when}"), Reach::Store, bytes);
            }
        }
        assert!(found > 100_000, "the store's file is not there");
    }

    /// A backup while it serves.
    fn backup(&mut self) {
        let said = self
            .home
            .run(&["backup", "one.backup", "--data-dir", DATA])
            .success();
        self.place(
            "what `backup` prints",
            Reach::Anywhere,
            said.out + &said.err,
        );
        let backup = std::fs::read(self.home.path("one.backup")).expect("a backup");
        self.place("the backup", Reach::Store, backup);
    }

    /// Everything that the relay answers to requests.
    fn answers(&mut self) {
        let asked = [
            &["status", "--data-dir", DATA][..],
            &["status", "--json", "--data-dir", DATA],
            &["verify", "--data-dir", DATA],
            &["verify", "--json", "--data-dir", DATA],
        ];
        for arguments in asked {
            let said = self.home.run(arguments).success();
            self.place(
                "what `status` and `verify` print",
                Reach::Anywhere,
                said.out + &said.err,
            );
        }
        let metrics = ask(self.metrics, "GET /metrics");
        assert!(metrics.ends_with(b"# EOF\n"), "the metrics are not there");
        self.place("the metrics", Reach::Anywhere, metrics);
        let nonce = "A".repeat(43);
        for request in [
            "GET /health".to_owned(),
            "GET /health/ready".to_owned(),
            "GET /version".to_owned(),
            "GET /status".to_owned(),
            "GET /".to_owned(),
            "GET /status.json".to_owned(),
            "GET /v1/sync".to_owned(),
            "GET /v1/exchange".to_owned(),
            format!("POST /v1/exchange HTTP/1.1\r\nContent-Length: 0\r\nGraceful-Nonce: {nonce}"),
        ] {
            let answer = ask(self.tap.address, &request);
            let name = request.split(" HTTP").next().expect("a path");
            self.place(format!("the answer to {name}"), Reach::Anywhere, answer);
        }
    }

    /// Somebody sends this without a seal.
    async fn send_in_the_clear(&self, bytes: &[u8]) {
        let url = format!("{}/v1/sync", self.url);
        let stream = tokio::net::TcpStream::connect(self.tap.address)
            .await
            .expect("open");
        let (mut socket, _) = tokio_tungstenite::client_async(url, stream)
            .await
            .expect("the handshake");
        socket.next().await.expect("a greeting").expect("a message");
        let join = JoinRendezvous {
            id: vec![7; 16].into(),
            sealed: bytes.to_vec().into(),
        };
        let frame = device_bytes(DeviceFrame::JoinRendezvous(join));
        socket.send(Message::Binary(frame)).await.expect("open");
        socket.next().await.expect("a refusal").expect("a message");
    }

    /// Stops the relay in order; its logs and its wire are places from now on.
    fn stop(mut self) -> (Vec<Canary>, Vec<Place>) {
        let id = self.relay.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .expect("kill runs")
                .success()
        );
        self.files("at the end");
        let passed = self.tap.passed();
        for wire in &passed {
            let address = wire.from.to_string();
            self.canaries.push(Canary {
                what: "a device's address",
                reach: Reach::Wire,
                bytes: address.into(),
            });
        }
        let mut wires = [const { Vec::new() }; 4];
        for wire in &passed {
            let parts = [
                wire.up_raw(),
                wire.down_raw(),
                wire.up_messages(),
                wire.down_messages(),
            ];
            for (all, part) in wires.iter_mut().zip(parts) {
                all.extend(part);
                all.extend([0; 8]);
            }
        }
        let said = self.relay.wait().success();
        assert!(
            said.err.contains("DEBUG") && said.err.contains("stopped"),
            "{}",
            said.err
        );
        let [up, down, up_messages, down_messages] = wires;
        let mut places = self.places;
        for (name, reach, bytes) in [
            ("the wire to the relay", Reach::Wire, up),
            ("the wire from the relay", Reach::Wire, down),
            (UNMASKED, Reach::Wire, up_messages),
            ("the frames from the relay", Reach::Wire, down_messages),
            ("the relay's logs", Reach::Anywhere, said.err.into_bytes()),
            ("the relay's output", Reach::Anywhere, said.out.into_bytes()),
        ] {
            places.push(Place {
                name: name.into(),
                reach,
                bytes,
            });
        }
        (self.canaries, places)
    }
}

/// Where values sent in the clear must be found.
const UNMASKED: &str = "the frames to the relay, without their masks";

fn decode(text: &str) -> Vec<u8> {
    BASE64URL_NOPAD.decode(text.as_bytes()).expect("base64url")
}

/// A whole answer to a request without a body.
fn ask(address: SocketAddr, request: &str) -> Vec<u8> {
    let request = if request.contains("HTTP/1.1") {
        request.to_owned()
    } else {
        format!("{request} HTTP/1.1")
    };
    let mut stream = TcpStream::connect(address).expect("open");
    stream.set_read_timeout(Some(LONG)).expect("a time");
    write!(
        stream,
        "{request}\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .expect("open");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 "), "an answer");
    answer
}

fn follow_and_be_killed(home: &Home, profile: &str) {
    let mut follow = home.start_client(profile, &["pull", "--follow", "--jsonl", "followed.jsonl"]);
    let deadline = std::time::Instant::now() + LONG;
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    while length(&home.path("followed.jsonl")) == 0 {
        assert!(
            !follow.has_ended() && std::time::Instant::now() < deadline,
            "nothing came"
        );
        std::thread::yield_now();
    }
    follow.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn canary_secrets_never_reach_relay_disk_or_logs() {
    let mut scene = Scene::open();
    scene.create("desk");
    scene.pair("desk", "phone");
    let tablet = scene.pair("desk", "tablet");
    scene.push("desk", 30);
    scene.files("while envelopes wait");
    scene.backup();
    scene.answers();
    follow_and_be_killed(&scene.home, "tablet");
    scene.follow("phone");
    scene
        .home
        .client("desk", &["remove", &tablet, "--yes"])
        .success();
    scene
        .home
        .client("tablet", &["push", "not any more"])
        .failure(&["refused"]);
    scene.push("phone", 10);
    scene.follow("desk");
    scene.know("desk");
    scene.push("desk", 5);
    scene.home.client("desk", &["purge", "--yes"]).success();
    let planted = Canary {
        what: "planted",
        reach: Reach::Anywhere,
        bytes: word("planted").into(),
    };
    scene.send_in_the_clear(&planted.bytes).await;
    scene.answers();
    scene
        .home
        .client("desk", &["purge", "--account", "--yes"])
        .success();
    let (canaries, places) = scene.stop();
    assert!(
        canaries.len() > 250 && places.len() > 20,
        "{} in {}",
        canaries.len(),
        places.len()
    );

    let escaped = escaped(&canaries, &places);
    assert!(escaped.is_empty(), "\n{}\n", escaped.join("\n"));

    // What is sent without a seal is seen, though not before its mask is off.
    let seen: Vec<_> = places
        .iter()
        .filter(|place| is_seen(&planted, place))
        .map(|place| &place.name)
        .collect();
    assert_eq!(seen, [UNMASKED]);
    // The same for any form of the value in these places.
    let unseen: Vec<_> = places
        .iter()
        .flat_map(|place| unseen(&planted, place))
        .collect();
    assert!(unseen.is_empty(), "\n{}\n", unseen.join("\n"));
}

fn is_seen(canary: &Canary, place: &Place) -> bool {
    !crate::search::Needles::of([canary])
        .find(&place.bytes)
        .is_empty()
}
