//! Clients over real sockets and files, against a naive relay.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Message;

use super::*;
use graceful_engine::engine::naive_relay::NaiveRelay;
use graceful_protocol::frame::{DeviceFrame, RelayFrame, from_device, relay_bytes};
use graceful_protocol::{Code, DeviceKey, Refusal, wire};

#[derive(Default)]
struct Shared {
    relay: NaiveRelay,
    slots: HashMap<Bytes, mpsc::Sender<RelayFrame>>,
    joining: HashMap<Bytes, mpsc::Sender<RelayFrame>>,
    invite: &'static str,
}

#[derive(Clone)]
struct Server {
    shared: Arc<Mutex<Shared>>,
    changed: watch::Sender<()>,
    url: String,
}

impl Server {
    async fn start(invite: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Mutex::new(Shared {
            invite,
            ..Shared::default()
        }));
        let server = Self {
            shared,
            changed: watch::Sender::new(()),
            url,
        };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        server
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    async fn serve(self, stream: TcpStream) {
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let (to_device, mut outgoing) = mpsc::channel(4_096);
        let greeting = self.lock().relay.greeting();
        to_device.send(greeting).await.unwrap();
        let mut changed = self.changed.subscribe();
        let mut device = None;
        let mut sent = 0;
        loop {
            tokio::select! {
                Some(frame) = outgoing.recv() => {
                    if socket.send(Message::Binary(relay_bytes(frame))).await.is_err() { return }
                }
                message = socket.next() => {
                    let Some(Ok(Message::Binary(bytes))) = message else { return };
                    self.take(from_device(bytes).unwrap(), &mut device, &to_device).await;
                    self.changed.send_replace(());
                }
                Ok(()) = changed.changed(), if device.is_some() => {
                    let (deliver, head) = {
                        let shared = self.lock();
                        (shared.relay.deliver(device.unwrap(), sent), shared.relay.log.len() as u64)
                    };
                    sent = head;
                    to_device.send(deliver).await.unwrap();
                }
            }
        }
    }

    async fn take(
        &self,
        frame: DeviceFrame,
        device: &mut Option<DeviceKey>,
        reply: &mpsc::Sender<RelayFrame>,
    ) {
        let (mut answers, mut other) = (Vec::new(), None);
        {
            let mut shared = self.lock();
            match frame {
                DeviceFrame::OpenRendezvous(open) => {
                    shared.slots.insert(open.id.clone(), reply.clone());
                    answers.push(RelayFrame::RendezvousOpened(wire::RendezvousOpened {
                        id: open.id,
                    }));
                }
                DeviceFrame::JoinRendezvous(join) => {
                    other = shared.slots.remove(&join.id);
                    shared.joining.insert(join.id.clone(), reply.clone());
                    let message = wire::RendezvousMessage {
                        id: join.id,
                        sealed: join.sealed,
                    };
                    answers.push(RelayFrame::RendezvousMessage(message));
                }
                DeviceFrame::RendezvousReply(answer) => {
                    other = shared.joining.remove(&answer.id);
                    let message = wire::RendezvousMessage {
                        id: answer.id,
                        sealed: answer.sealed,
                    };
                    answers.push(RelayFrame::RendezvousMessage(message));
                }
                DeviceFrame::CreateAccount(found) if found.invite != shared.invite => {
                    let refusal = Refusal::new(Code::InviteRequired, "an invitation is needed");
                    answers.push(RelayFrame::Refusal(refusal.into()));
                }
                frame => {
                    let proof = match &frame {
                        DeviceFrame::Authenticate(proof) => Some(proof),
                        DeviceFrame::CreateAccount(found) => found.authenticate.as_ref(),
                        _ => None,
                    };
                    let proven = proof.map(|proof| DeviceKey::try_from(&*proof.device).unwrap());
                    *device = proven.or(*device);
                    answers = shared.relay.answer(device.unwrap(), frame);
                }
            }
        }
        let to = other.as_ref().unwrap_or(reply);
        for answer in answers {
            to.send(answer).await.unwrap();
        }
    }
}

fn create(profile_dir: &Path, server: &Server, invite: Option<&str>) -> CreateOptions {
    CreateOptions {
        profile_dir: profile_dir.to_owned(),
        relay: server.url.clone(),
        invite: invite.map(str::to_owned),
        device_name: "Desk".to_owned(),
        device_id: "desk-1".to_owned(),
        recovery: None,
        connect: ConnectOptions::default(),
    }
}

fn changes(numbers: std::ops::Range<u32>) -> Vec<Change> {
    numbers
        .map(|number| Change::new(format!("t{number}"), number.to_be_bytes().to_vec()))
        .collect()
}

async fn expect(changes: &mut Changes, client: &Client, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let incoming = changes.next().await.unwrap();
        let Incoming::Change(received) = &incoming else {
            panic!("{incoming:?}")
        };
        assert_eq!(*received.content, number.to_be_bytes());
        assert_eq!(received.transaction_id, format!("t{number}"));
        client.applied(&incoming).await.unwrap();
    }
}

#[tokio::test]
async fn paired_devices_exchange_changes_across_restarts() {
    let server = Server::start("").await;
    let (desk_folder, phone_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let desk = Client::create(create(desk_folder.path(), &server, None))
        .await
        .unwrap();
    desk.push(changes(0..5)).await.unwrap();
    desk.stored(|_| ()).await.unwrap();

    let mut pairing = desk.pair(Duration::from_secs(600)).await.unwrap();
    let join = JoinOptions {
        profile_dir: phone_folder.path().to_owned(),
        link: pairing.link(),
        device_name: "Phone".to_owned(),
        device_id: "phone-1".to_owned(),
        connect: ConnectOptions::default(),
    };
    let joined = tokio::spawn(Client::join(join, |_| ()));
    let ask = pairing.next_request().await.unwrap();
    assert_eq!(ask.name(), "Phone");
    ask.accept().await.unwrap();
    let phone = joined.await.unwrap().unwrap();

    let mut received = phone.changes();
    expect(&mut received, &phone, 0..3).await;
    phone.close().await.unwrap();
    let phone = Client::open(OpenOptions::new(phone_folder.path()))
        .await
        .unwrap();
    let mut received = phone.changes();
    expect(&mut received, &phone, 3..5).await;

    phone.push(changes(10..12)).await.unwrap();
    let mut received = desk.changes();
    expect(&mut received, &desk, 10..12).await;
    desk.up_to_date().await.unwrap();
    phone.up_to_date().await.unwrap();
    let names: Vec<_> = phone
        .devices()
        .into_iter()
        .map(|device| device.name.unwrap_or_default())
        .collect();
    assert_eq!(names, ["Desk", "Phone"]);
    let error = Client::open(OpenOptions::new(desk_folder.path()))
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::InUse(_)), "{error}");
    assert_eq!(Client::inspect(desk_folder.path()).unwrap().waiting, 0);
    desk.close().await.unwrap();
}

#[tokio::test]
async fn offline_push_waits_on_disk() {
    let server = Server::start("").await;
    let profile_dir = tempfile::tempdir().unwrap();
    let desk = Client::create(create(profile_dir.path(), &server, None))
        .await
        .unwrap();
    desk.close().await.unwrap();
    let (_, identity) = profile::read_device(profile_dir.path()).unwrap();
    profile::write_device(profile_dir.path(), "ws://127.0.0.1:1", &identity).unwrap();
    let desk = Client::open(OpenOptions::new(profile_dir.path()))
        .await
        .unwrap();
    let receipt = desk.push(changes(0..4_000)).await.unwrap();
    assert_eq!((receipt.first, receipt.last), (1, 4_000));
    assert_eq!(receipt.numbers, (1..=4_000).collect::<Vec<_>>());
    assert_eq!(Client::inspect(profile_dir.path()).unwrap().waiting, 4_000);
    desk.close().await.unwrap();
    profile::write_device(profile_dir.path(), &server.url, &identity).unwrap();
    let desk = Client::open(OpenOptions::new(profile_dir.path()))
        .await
        .unwrap();
    desk.stored(|_| ()).await.unwrap();
    assert_eq!(server.lock().relay.log.len(), 4_000);
}

#[tokio::test]
async fn create_after_refusal_resumes() {
    let server = Server::start("open sesame").await;
    let profile_dir = tempfile::tempdir().unwrap();
    let error = Client::create(create(profile_dir.path(), &server, None))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            ClientError::Refused {
                code: Code::InviteRequired,
                ..
            }
        ),
        "{error}"
    );
    let account = Client::inspect(profile_dir.path()).unwrap().account;
    let unreachable = CreateOptions {
        relay: "ws://127.0.0.1:1".to_owned(),
        ..create(profile_dir.path(), &server, None)
    };
    let error = Client::create(unreachable).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    let in_use = profile::open(profile_dir.path()).unwrap();
    let error = Client::create(create(profile_dir.path(), &server, Some("open sesame")))
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::InUse(_)), "{error}");
    drop(in_use);
    let (device_name, device_id) = ("Table".to_owned(), "table-1".to_owned());
    let renamed = create(profile_dir.path(), &server, Some("open sesame"));
    let client = Client::create(CreateOptions {
        device_name,
        device_id,
        ..renamed
    })
    .await
    .unwrap();
    assert_eq!(client.status().account, account);
    assert_eq!(client.devices()[0].name.as_deref(), Some("Table"));
    assert_eq!(
        profile::read_device(profile_dir.path())
            .unwrap()
            .1
            .device_id,
        "table-1"
    );
    client.close().await.unwrap();
    let again = Client::create(create(profile_dir.path(), &server, None))
        .await
        .unwrap_err();
    assert!(matches!(again, ClientError::ProfileExists(_)), "{again}");
}

#[tokio::test]
async fn disk_failure_names_the_file() {
    let channels = {
        let (commands, queue) = mpsc::channel(1);
        drop(queue);
        let profile_dir = tempfile::tempdir().unwrap();
        let server = Server::start("").await;
        let client = Client::create(create(profile_dir.path(), &server, None))
            .await
            .unwrap();
        client.dying_of("cannot write the journal: no space", commands)
    };
    let error = channels.push(changes(0..1)).await.unwrap_err().to_string();
    assert!(error.contains("cannot write the journal"), "{error}");
    assert!(channels.close().await.is_err());
}
