//! Answers to strangers, byte for byte, over WebSocket and exchange.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use graceful_protocol::frame::{self, DeviceFrame, RelayFrame, device_bytes};
use graceful_protocol::membership::Membership;
use graceful_protocol::wire::{
    AppendMembership, Authenticate, CreateAccount, Greeting, SignedEntry,
};
use graceful_protocol::{Code, EXCHANGE_PATH, Limits};
use graceful_server::relay::Registration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use graceful_testing::fixtures;
use graceful_testing::server::{self, LONG, TestServer, next_frame};

/// Device 1 created the account and added device 2. No other device is known.
const CREATOR: u8 = 1;

async fn open() -> TestServer {
    let server = server::open_with(server::options(), Limits::default(), Registration::Open).await;
    let mut client = server.client().await.expect("the handshake");
    let greeting = greeting(next_frame(&mut client).await);
    let found = CreateAccount {
        authenticate: Some(proof(&greeting, CREATOR, CREATOR, CREATOR)),
        entry: Some(fixtures::genesis(CREATOR)),
        invite: String::new(),
    };
    let append = AppendMembership {
        first: 1,
        entries: vec![log(CREATOR, 2).remove(1)],
    };
    for frame in [
        DeviceFrame::CreateAccount(found),
        DeviceFrame::AppendMembership(append),
    ] {
        client
            .send(Message::Binary(device_bytes(frame)))
            .await
            .expect("open");
    }
    // Both entries, in one frame or in two: that depends on how soon the relay looks.
    let shown = |frame| matches!(frame, RelayFrame::Membership(shown) if shown.first + shown.entries.len() as u64 == 2);
    while !shown(next_frame(&mut client).await) {}
    server
}

/// The log of an account of two devices.
fn log(creator: u8, second: u8) -> Vec<SignedEntry> {
    let first = fixtures::genesis(creator);
    let membership = Membership::from_genesis(&first).expect("account is created");
    vec![first, fixtures::adding(&membership, creator, second)]
}

fn greeting(frame: RelayFrame) -> Greeting {
    match frame {
        RelayFrame::Greeting(greeting) => greeting,
        other => panic!("not a greeting: {other:?}"),
    }
}

/// Authenticates as `device` of the account created by `creator`, signed by `signer`.
fn proof(greeting: &Greeting, creator: u8, device: u8, signer: u8) -> Authenticate {
    let (account, key) = (fixtures::account_id(creator), fixtures::signing_key(signer));
    fixtures::authenticate(greeting, account, device, "127.0.0.1", &key)
}

type Opening = Box<dyn Fn(&Greeting) -> DeviceFrame>;

fn authenticate(creator: u8, device: u8, signer: u8, entries: Vec<SignedEntry>) -> Opening {
    Box::new(move |greeting| {
        let proof = proof(greeting, creator, device, signer);
        DeviceFrame::Authenticate(Authenticate {
            entries: entries.clone(),
            ..proof
        })
    })
}

fn create_account(entry: SignedEntry, creator: u8, device: u8, signer: u8) -> Opening {
    Box::new(move |greeting| {
        DeviceFrame::CreateAccount(CreateAccount {
            authenticate: Some(proof(greeting, creator, device, signer)),
            entry: Some(entry.clone()),
            invite: String::new(),
        })
    })
}

/// A proof in which one part is not what it should be.
fn spoilt(spoil: fn(&mut Authenticate)) -> Opening {
    Box::new(move |greeting| {
        let mut proof = proof(greeting, CREATOR, CREATOR, CREATOR);
        spoil(&mut proof);
        DeviceFrame::Authenticate(proof)
    })
}

/// Everything that has to be answered alike. Accounts other than that of device 1 do not exist.
fn strangers() -> Vec<(&'static str, Opening)> {
    let forked = {
        let mut forked = log(CREATOR, 9);
        forked[1] = fixtures::adding(
            &Membership::from_genesis(&forked[0]).expect("account is created"),
            9,
            9,
        );
        forked
    };
    vec![
        ("unknown account", authenticate(7, 9, 9, Vec::new())),
        (
            "unknown account, its creator",
            authenticate(7, 7, 7, Vec::new()),
        ),
        ("unknown device", authenticate(CREATOR, 9, 9, Vec::new())),
        (
            "wrong signature",
            authenticate(CREATOR, CREATOR, 9, Vec::new()),
        ),
        (
            "wrong signature of an unknown device",
            authenticate(CREATOR, 9, 8, Vec::new()),
        ),
        (
            "wrong signature, unknown account",
            authenticate(7, 9, 8, Vec::new()),
        ),
        (
            "no signature",
            spoilt(|proof| proof.signature = Bytes::new()),
        ),
        (
            "a signature of zeros",
            spoilt(|proof| proof.signature = vec![0; 64].into()),
        ),
        (
            "a key that is none",
            spoilt(|proof| proof.device = vec![0xff; 32].into()),
        ),
        (
            "a log of an unknown account",
            authenticate(7, 8, 8, log(7, 8)),
        ),
        (
            "half a log of an unknown account",
            authenticate(7, 8, 8, log(7, 8).split_off(1)),
        ),
        (
            "another account's log",
            authenticate(CREATOR, 8, 8, log(7, 8)),
        ),
        (
            "a log without the device",
            authenticate(CREATOR, 9, 9, log(CREATOR, 2)),
        ),
        (
            "half a log",
            authenticate(CREATOR, 2, 9, log(CREATOR, 2).split_off(1)),
        ),
        (
            "a log that adds itself",
            authenticate(CREATOR, 9, 9, forked),
        ),
        (
            "a log and a wrong signature",
            authenticate(CREATOR, 2, 9, log(CREATOR, 2)),
        ),
        (
            "another's genesis entry",
            create_account(fixtures::genesis(CREATOR), CREATOR, 9, 9),
        ),
        (
            "another's genesis entry, unknown",
            create_account(fixtures::genesis(7), 7, 9, 9),
        ),
        (
            "a genesis with a wrong signature",
            create_account(fixtures::genesis(CREATOR), CREATOR, CREATOR, 9),
        ),
        (
            "a genesis with a wrong signature, unknown",
            create_account(fixtures::genesis(7), 7, 7, 9),
        ),
    ]
}

/// Every byte that comes back over the socket after the frame, up to the end of the connection.
async fn answer(server: &TestServer, opening: &Opening) -> Vec<u8> {
    let mut client = server.client().await.expect("the handshake");
    let greeting = greeting(next_frame(&mut client).await);
    client
        .send(Message::Binary(device_bytes(opening(&greeting))))
        .await
        .expect("open");
    let mut stream = client.into_inner();
    let mut bytes = Vec::new();
    let mut part = [0; 1024];
    // The relay waits for the close frame to be answered: a masked one without a reason.
    loop {
        let read = tokio::time::timeout(LONG, stream.read(&mut part))
            .await
            .expect("in time")
            .expect("bytes");
        bytes.extend_from_slice(&part[..read]);
        if read == 0 {
            return bytes;
        }
        if bytes
            .windows(2)
            .any(|window| window == 4401_u16.to_be_bytes())
        {
            stream
                .write_all(&[0x88, 0x80, 0, 0, 0, 0])
                .await
                .expect("open");
            stream.shutdown().await.expect("open");
        }
    }
}

#[tokio::test]
async fn stranger_gets_same_bytes_for_every_error() {
    let server = open().await;
    let strangers = strangers();
    let expected = answer(&server, &strangers[0].1).await;
    assert!(
        expected
            .windows(2)
            .any(|window| window == 4401_u16.to_be_bytes()),
        "{expected:?}"
    );
    for (who, opening) in &strangers {
        assert_eq!(answer(&server, opening).await, expected, "{who}");
    }
}

#[tokio::test]
async fn stranger_gets_same_bytes_in_exchange() {
    let server = open().await;
    let mut answers = Vec::new();
    for (who, opening) in strangers() {
        let greeting = greeting(
            server
                .ask("GET", EXCHANGE_PATH, "")
                .await
                .frames()
                .remove(0),
        );
        let body = frame::join([&device_bytes(opening(&greeting))]);
        let answer = server::exchange(&server, &greeting.nonce, &body).await;
        assert_eq!(
            (answer.status(), answer.refusal()),
            ("403", Code::NotAMember),
            "{who}"
        );
        // The date may step on between two answers.
        let head = answer
            .head
            .lines()
            .filter(|line| !line.starts_with("date:"))
            .collect::<Vec<_>>();
        answers.push((head.join("\n"), answer.body));
        assert_eq!(answers.last(), answers.first(), "{who}");
    }
}

/// An entry of another author is refused before the account is looked up, also when registration is
/// invite-only.
#[tokio::test]
async fn foreign_genesis_entry_reveals_nothing_when_invite_only() {
    let server =
        server::open_with(server::options(), Limits::default(), Registration::Closed).await;
    let opening = create_account(fixtures::genesis(7), 7, 9, 9);
    let closed = answer(&server, &opening).await;
    let server = open().await;
    assert_eq!(answer(&server, &opening).await, closed);
    assert_eq!(
        answer(
            &server,
            &create_account(fixtures::genesis(CREATOR), CREATOR, 9, 9)
        )
        .await,
        closed
    );
}

/// What the same answer must not cost: a device that the relay forgot comes back with its log.
#[tokio::test]
async fn forgotten_device_with_whole_log_is_welcome() {
    let server = open().await;
    let membership = Membership::replay(&log(CREATOR, 2)).expect("a log");
    let mut whole = log(CREATOR, 2);
    whole.push(fixtures::adding(&membership, 2, 3));
    let mut client = server.client().await.expect("the handshake");
    let greeting = greeting(next_frame(&mut client).await);
    let opening = authenticate(CREATOR, 3, 3, whole)(&greeting);
    client
        .send(Message::Binary(device_bytes(opening)))
        .await
        .expect("open");
    let frame = tokio::time::timeout(LONG, client.next())
        .await
        .expect("in time")
        .expect("open");
    let frame = frame::from_relay(frame.expect("a message").into_data()).expect("a frame");
    let RelayFrame::Welcome(welcome) = frame else {
        panic!("not welcome: {frame:?}")
    };
    assert_eq!((welcome.device_index, welcome.membership_count), (2, 3));
}
