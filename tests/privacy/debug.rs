//! `{:?}` of every type with a secret is printed and searched for it.
//!
//! Private types with a secret have no `Debug` or redact it: `tests/architecture` checks that.

use std::fmt::Debug;
use std::path::PathBuf;

use bytes::Bytes;
use graceful_client::{
    AgreementSecret, ConnectOptions, CreateOptions, DeviceKeys, Engine, EngineState, EpochSecret,
    Event, Identity, JoinOptions, OsRng, Output, PairingLink, PairingSecret, RecoveryKey,
};
use graceful_engine::account::AccountView;
use graceful_engine::pairing::{Account, Joining};
use graceful_engine::seal::EpochKeys;
use graceful_engine::sealed::AccountBundle;
use graceful_protocol::frame::{DeviceFrame, RelayFrame};
use graceful_protocol::wire::{self, Greeting};
use graceful_protocol::{AccountId, Limits};
use graceful_server::admin::AdminResponse;

use crate::search::{Canary, Needles, Reach};

/// Secrets that would be seen in any form, and what is printed.
struct Printed {
    secrets: Vec<Canary>,
    printed: Vec<(&'static str, String)>,
}

impl Printed {
    fn secret(&mut self, what: &'static str, bytes: &[u8]) {
        self.secrets.push(Canary {
            what,
            reach: Reach::Devices,
            bytes: bytes.to_vec(),
        });
    }

    fn print(&mut self, what: &'static str, value: &dyn Debug) {
        // Over many lines, a number stands on each.
        let pretty = format!("{value:#?}")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        self.printed.push((what, format!("{value:?}\n{pretty}")));
    }
}

fn random<const N: usize>() -> [u8; N] {
    graceful_engine::random(&mut OsRng)
}

#[test]
fn debug_output_of_secret_types_hides_secrets() {
    let mut all = Printed {
        secrets: Vec::new(),
        printed: Vec::new(),
    };
    let identity = keys(&mut all);
    links(&mut all, &identity);
    invitations(&mut all);
    outputs(&mut all, &identity);
    let needles = Needles::of(&all.secrets);
    for (what, printed) in &all.printed {
        let found = needles.find(printed.as_bytes());
        assert!(found.is_empty(), "{what} shows {found:?}: {printed}");
    }
    // Debug shows bytes as numbers or escaped; the search would see either.
    for canary in &all.secrets {
        for careless in [
            format!("{:?}", canary.bytes),
            format!("{:?}", Bytes::from(canary.bytes.clone())),
        ] {
            assert!(!needles.find(careless.as_bytes()).is_empty(), "{careless}");
        }
    }
}

/// The keys of a device and its account, in everything that carries them.
fn keys(all: &mut Printed) -> Identity {
    let (seed, agreement, epoch) = (random::<32>(), random::<32>(), random::<32>());
    all.secret("a signing seed", &seed);
    all.secret("an agreement secret", &agreement);
    all.secret("an epoch secret", &epoch);
    let mut identity = Identity::create("app-device", "Desk", &mut OsRng);
    let keys = DeviceKeys::new(&seed, AgreementSecret::new(agreement));
    let (secret, recovery) = (EpochSecret::new(epoch), RecoveryKey::random(&mut OsRng));
    for word in recovery.words().windows(3) {
        all.secret(
            "three words of the recovery phrase",
            word.join(" ").as_bytes(),
        );
    }
    all.print("RecoveryKey", &recovery);
    let entry =
        graceful_engine::account::genesis_entry(&keys, &secret, Some(&recovery), &mut OsRng);
    identity.keys = keys;
    identity.account = Account {
        entries: vec![entry],
        secrets: vec![EpochSecret::new(epoch)],
        names: vec![(identity.keys.device(), "Desk".to_owned())],
    };
    let Account {
        entries,
        secrets,
        names,
    } = &identity.account;
    let view =
        AccountView::new(identity.keys.clone(), entries, secrets, names).expect("an account");
    all.print("AgreementSecret", identity.keys.agreement());
    all.print("DeviceKeys", &identity.keys);
    all.print("SigningKey", identity.keys.signing());
    all.print("EpochSecret", &secrets[0]);
    all.print(
        "EpochKeys",
        &EpochKeys::derive(&secrets[0], &AccountId::new([1; 32])),
    );
    all.print("Account", &identity.account);
    all.print("AccountView", &view);
    all.print("its bundle", &view.bundle());
    all.print("Identity", &identity);
    all.print(
        "EngineState",
        &EngineState::new(&identity).expect("a state"),
    );
    let bundle = AccountBundle {
        epoch_secrets: vec![Bytes::copy_from_slice(&epoch)],
        ..AccountBundle::default()
    };
    all.print("AccountBundle", &bundle);
    identity
}

fn links(all: &mut Printed, identity: &Identity) {
    let link = PairingLink::random("wss://relay.example", &mut OsRng);
    all.secret("a pairing secret", link.secret.expose());
    let text = link.to_string();
    all.secret("a pairing link", text.as_bytes());
    let secret = text.rsplit('=').next().expect("the secret comes last");
    all.secret("a pairing secret in a link", secret.as_bytes());
    all.print("PairingSecret", &PairingSecret::new(*link.secret.expose()));
    all.print("PairingLink", &link);
    all.print(
        "JoinOptions",
        &JoinOptions {
            profile_dir: PathBuf::from("phone"),
            link: text,
            device_name: "Phone".to_owned(),
            device_id: "phone".to_owned(),
            connect: ConnectOptions::default(),
        },
    );
    all.print(
        "Joining",
        &Joining {
            device: identity.keys.device(),
            agreement: identity.keys.agreement().public(),
            name: "Phone".to_owned(),
        },
    );
}

fn invitations(all: &mut Printed) {
    let invite = data_encoding::BASE32_NOPAD
        .encode(&random::<15>())
        .to_ascii_lowercase();
    all.secret("an invitation", invite.as_bytes());
    all.print(
        "CreateOptions",
        &CreateOptions {
            profile_dir: PathBuf::from("desk"),
            relay: "wss://relay.example".to_owned(),
            invite: Some(invite.clone()),
            device_name: "Desk".to_owned(),
            device_id: "desk".to_owned(),
            recovery: Some(RecoveryKey::random(&mut OsRng)),
            connect: ConnectOptions::default(),
        },
    );
    all.print(
        "CreateAccount",
        &wire::CreateAccount {
            invite: invite.clone(),
            ..wire::CreateAccount::default()
        },
    );
    all.print("AdminResponse", &AdminResponse::Invite(invite));
}

/// An engine that creates its account: its records, frames and events, as a driver might log them.
fn outputs(all: &mut Printed, identity: &Identity) {
    let invite = data_encoding::BASE32_NOPAD
        .encode(&random::<15>())
        .to_ascii_lowercase();
    all.secret("an engine's invitation", invite.as_bytes());
    let state = EngineState::new(identity).expect("a state");
    let mut engine = Engine::new(state, invite, Box::new(OsRng));
    all.print("Engine", &engine);
    engine.handle_timeout(1);
    engine.handle_connected("relay.example", 1);
    let greeting = Greeting {
        relay_id: vec![1; 16].into(),
        version_min: 1,
        version_max: 1,
        epoch: vec![2; 16].into(),
        nonce: vec![3; 32].into(),
        limits: Some((&Limits::default()).into()),
        ..Greeting::default()
    };
    engine.handle_frame(RelayFrame::Greeting(greeting), 1);
    let (mut creates, mut events) = (0, 0);
    while let Some(output) = engine.poll_output() {
        creates += u32::from(matches!(
            output,
            Output::Send(DeviceFrame::CreateAccount(_))
        ));
        events += u32::from(matches!(output, Output::Event(Event::State(_))));
        all.print("Output", &output);
    }
    assert!(
        creates == 1 && events > 0,
        "the engine creates its account, and reports"
    );
}
