//! Recovery at relays that misbehave: each case is rejected with its reason.

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use futures_util::{SinkExt, StreamExt};
use graceful_client::{
    ClientError, DeviceKeys, EngineState, Identity, OsRng, RecoveryError, RecoveryKey,
};
use graceful_engine::account::AccountView;
use graceful_engine::pairing::Joining;
use graceful_protocol::frame::{DeviceFrame, RelayFrame, from_device, relay_bytes};
use graceful_protocol::membership::{InvalidEntry, open, sign};
use graceful_protocol::recovery::sign_genesis;
use graceful_protocol::wire::membership_entry::Change;
use graceful_protocol::wire::{self, MembershipEntry, SignedEntry};
use graceful_protocol::{Code, DeviceKey, Refusal};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use super::{folder, fresh_key, recover};

/// An account with a recovery key: created, a device added, another added and removed.
struct Account {
    key: RecoveryKey,
    owner: DeviceKeys,
    view: AccountView,
}

fn joining(keys: &DeviceKeys) -> Joining {
    Joining {
        device: keys.device(),
        agreement: keys.agreement().public(),
        name: "x".into(),
    }
}

impl Account {
    fn new() -> Self {
        let key = fresh_key();
        let identity = Identity::create_with_recovery("desk-1", "Desk", Some(&key), &mut OsRng);
        let mut view = EngineState::new(&identity)
            .expect("valid")
            .account()
            .clone();
        for _ in 0..2 {
            let entry = view
                .sign_add(&joining(&DeviceKeys::random(&mut OsRng)))
                .expect("signs");
            view.append(&entry).expect("follows");
        }
        let last = view.membership().members()[2].device;
        let entry = view.sign_remove(&last, &mut OsRng).expect("signs");
        view.append(&entry).expect("follows");
        Self {
            key,
            owner: identity.keys,
            view,
        }
    }

    fn entries(&self) -> Vec<SignedEntry> {
        self.view.entries().to_vec()
    }

    /// The last entry with another content, signed by the same member.
    fn signed_again(&self, change: impl FnOnce(&mut MembershipEntry)) -> SignedEntry {
        let mut entry = open(self.view.entries().last().expect("there")).expect("an entry");
        change(&mut entry);
        sign(&entry, self.owner.signing())
    }
}

/// Greets, and answers whatever is asked with the next of `answers`; then it hangs up.
async fn liar(answers: Vec<Vec<RelayFrame>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut socket = tokio_tungstenite::accept_async(stream)
            .await
            .expect("a WebSocket");
        let greeting = wire::Greeting {
            epoch: vec![1; 16].into(),
            nonce: vec![2; 32].into(),
            ..wire::Greeting::default()
        };
        let mut say = vec![RelayFrame::Greeting(greeting)];
        let mut answers = answers.into_iter();
        loop {
            for frame in say {
                socket
                    .send(Message::Binary(relay_bytes(frame)))
                    .await
                    .expect("open");
            }
            let Some(Ok(Message::Binary(asked))) = socket.next().await else {
                return;
            };
            let asked = from_device(asked).expect("a frame");
            assert!(
                matches!(
                    asked,
                    DeviceFrame::RecoverAccount(_) | DeviceFrame::AppendMembership(_)
                ),
                "{asked:?}"
            );
            let Some(next) = answers.next() else { return };
            say = next;
            if answers.len() == 0 {
                for frame in say {
                    socket
                        .send(Message::Binary(relay_bytes(frame)))
                        .await
                        .expect("open");
                }
                let _ = socket.close(None).await;
                return;
            }
        }
    });
    url
}

fn recovering(membership_count: u64) -> RelayFrame {
    RelayFrame::RecoveryAccepted(wire::RecoveryAccepted { membership_count })
}

fn shown(first: u64, entries: &[SignedEntry]) -> RelayFrame {
    RelayFrame::Membership(wire::Membership {
        first,
        entries: entries.to_vec(),
    })
}

/// Attempts a recovery with this phrase. No device is created.
async fn refused(key: &RecoveryKey, answers: Vec<Vec<RelayFrame>>) -> RecoveryError {
    let folder = folder();
    let error = recover(&liar(answers).await, folder.path(), key, "Phone")
        .await
        .expect_err("a lie");
    assert!(!folder.path().join("device").exists());
    match error {
        ClientError::Recovery(error) => error,
        other => panic!("not seen through: {other}"),
    }
}

/// The answer to Recover alone.
async fn told(key: &RecoveryKey, log: &[SignedEntry]) -> RecoveryError {
    refused(key, vec![vec![recovering(log.len() as u64), shown(0, log)]]).await
}

#[tokio::test]
async fn recovery_rejects_account_of_other_key() {
    let (account, other) = (Account::new(), Account::new());
    assert_eq!(
        told(&account.key, &other.entries()).await,
        RecoveryError::OtherAccount
    );
    // One without any recovery key.
    let identity = Identity::create("desk-1", "Desk", &mut OsRng);
    assert_eq!(
        told(&account.key, &identity.account.entries).await,
        RecoveryError::OtherAccount
    );
}

/// Everything in a genesis entry except the consent can be copied by anyone who has seen one: the
/// relay and every former member.
#[tokio::test]
async fn recovery_rejects_account_without_consent() {
    let account = Account::new();
    let genuine = open(&account.entries()[0]).expect("an entry");
    let Some(Change::Genesis(found)) = genuine.change.clone() else {
        panic!("a genesis")
    };
    let thief = DeviceKeys::random(&mut OsRng);
    let forged = |keys: &DeviceKeys, found: wire::Genesis| {
        let entry = MembershipEntry {
            author: keys.device().to_wire(),
            change: Some(Change::Genesis(found)),
            ..genuine.clone()
        };
        sign(&entry, keys.signing())
    };
    let own_agreement = thief.agreement().public().to_wire();
    let mut signed = wire::Genesis {
        agreement_key: own_agreement.clone(),
        ..found.clone()
    };
    let consent = sign_genesis(&thief.device(), &signed, thief.signing());
    signed.recovery_signature = Bytes::copy_from_slice(&consent);
    let salted = wire::Genesis {
        salt: vec![1; 32].into(),
        ..found.clone()
    };
    let bare = wire::Genesis {
        recovery_signature: Bytes::new(),
        ..found.clone()
    };
    let no_consent = RecoveryError::Entry {
        index: 0,
        cause: InvalidEntry::Recovery,
    };
    for entry in [
        forged(&thief, found.clone()),
        forged(
            &thief,
            wire::Genesis {
                agreement_key: own_agreement,
                ..found
            },
        ),
        forged(&thief, signed),
        // By the genesis device itself, once it was stolen.
        forged(&account.owner, salted),
        forged(&account.owner, bare),
    ] {
        assert_eq!(told(&account.key, &[entry]).await, no_consent);
    }
}

#[tokio::test]
async fn recovery_rejects_truncated_altered_and_forked_log() {
    let account = Account::new();
    let (key, log) = (&account.key, account.entries());
    let cut = vec![vec![recovering(4), shown(0, &log[..2])]];
    assert_eq!(
        refused(key, cut).await,
        RecoveryError::Incomplete {
            shown: 2,
            wanted: 4
        }
    );
    assert_eq!(
        told(key, &[]).await,
        RecoveryError::Incomplete {
            shown: 0,
            wanted: 1
        }
    );
    let hole = vec![vec![
        recovering(4),
        shown(0, &log[..1]),
        shown(2, &log[2..]),
    ]];
    assert!(matches!(
        refused(key, hole).await,
        RecoveryError::Protocol(_)
    ));
    let beginning = vec![vec![recovering(4), shown(1, &log[1..])]];
    assert!(matches!(
        refused(key, beginning).await,
        RecoveryError::Protocol(_)
    ));
    let left_out = [log[0].clone(), log[2].clone(), log[3].clone()];
    let error = told(key, &left_out).await;
    assert!(
        matches!(error, RecoveryError::Entry { index: 1, .. }),
        "{error}"
    );
    let mut stranger = open(&log[1]).expect("an entry");
    stranger.author =
        DeviceKey::new(SigningKey::from_bytes(&[5; 32]).verifying_key().to_bytes()).to_wire();
    let stranger = sign(&stranger, &SigningKey::from_bytes(&[5; 32]));
    let error = told(key, &[log[0].clone(), stranger]).await;
    assert_eq!(
        error,
        RecoveryError::Entry {
            index: 1,
            cause: InvalidEntry::Author
        }
    );
    let other =
        account.signed_again(|entry| entry.change = open(&log[1]).expect("an entry").change);
    let fork = vec![vec![
        recovering(4),
        shown(0, &log[..3]),
        shown(3, &log[3..]),
        shown(3, &[other]),
    ]];
    // The whole log arrives before the second version, so the fork is detected afterwards.
    assert_eq!(refused(key, fork).await, RecoveryError::Fork(3));
}

#[tokio::test]
async fn recovery_rejects_secret_of_other_key() {
    let account = Account::new();
    let mut log = account.entries();
    log[3] = account.signed_again(|entry| {
        let Some(Change::Remove(remove)) = &mut entry.change else {
            panic!("a removal")
        };
        remove.recovery_wrapped = vec![7; 80].into();
    });
    assert_eq!(told(&account.key, &log).await, RecoveryError::Secret(1));
}

#[tokio::test]
async fn recovery_rejects_unexpected_relay_behavior() {
    let account = Account::new();
    let (key, log) = (&account.key, account.entries());
    let welcome = vec![vec![RelayFrame::Welcome(wire::Welcome::default())]];
    assert!(matches!(
        refused(key, welcome).await,
        RecoveryError::Protocol(_)
    ));
    let early = vec![vec![shown(0, &log)]];
    assert!(matches!(
        refused(key, early).await,
        RecoveryError::Protocol(_)
    ));
    let twice = vec![vec![recovering(4), recovering(4)]];
    assert!(matches!(
        refused(key, twice).await,
        RecoveryError::Protocol(_)
    ));
    let stale = || {
        vec![RelayFrame::Refusal(
            Refusal::new(Code::StaleMembership, "no").expected(4).into(),
        )]
    };
    let mut never = vec![vec![recovering(4), shown(0, &log)]];
    never.extend((0..40).map(|_| stale()));
    assert!(matches!(
        refused(key, never).await,
        RecoveryError::Protocol(_)
    ));
}
