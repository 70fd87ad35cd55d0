//! Successful recoveries.

use graceful_client::{
    Client, ClientError, ConnectOptions, CreateOptions, Event, OpenOptions, RecoveryError,
};
use graceful_protocol::{Code, Limits};
use graceful_server::relay::Registration;
use graceful_testing::server;

use super::{LONG, create, folder, fresh_key, options, push, received, recover};

fn url(server: &server::TestServer) -> String {
    format!("ws://{}", server.address)
}

#[tokio::test]
async fn recovery_after_loss_of_all_devices_fetches_stored() {
    let server = server::open(server::options()).await;
    let (url, key) = (url(&server), fresh_key());
    let lost = folder();
    let desk = create(&url, lost.path(), &key).await;
    let account = desk.status().account;
    assert_eq!(desk.status().recovery, Some(key.keys().device()));
    push(&desk, &["rent", "milk", "bread"]).await;
    desk.close().await.expect("closes");
    drop(lost);

    let phone_folder = folder();
    let phone = recover(&url, phone_folder.path(), &key, "Phone")
        .await
        .expect("comes back");
    assert_eq!(phone.status().account, account);
    assert_eq!(
        received(&phone, &mut phone.changes(), 3).await,
        ["rent", "milk", "bread"]
    );
    let desk_key = phone
        .devices()
        .iter()
        .find(|device| !device.this)
        .expect("the lost one")
        .key;
    phone.remove(desk_key).await.expect("removed");
    assert_eq!(phone.status().key_epoch, 1);
    push(&phone, &["in the new epoch"]).await;
    // Switched off and on, it is a device as any other.
    phone.close().await.expect("closes");
    let phone = Client::open(OpenOptions::new(phone_folder.path()))
        .await
        .expect("opens");
    push(&phone, &["and after"]).await;
    phone.close().await.expect("closes");
    drop(phone_folder);

    // And lost again: the words are good as often as it takes, through a removal.
    let tablet_folder = folder();
    let tablet = recover(&url, tablet_folder.path(), &key, "Tablet")
        .await
        .expect("comes back again");
    assert_eq!(
        (tablet.status().account, tablet.status().key_epoch),
        (account, 1)
    );
    assert_eq!(
        received(&tablet, &mut tablet.changes(), 2).await,
        ["in the new epoch", "and after"]
    );
    let removed = tablet
        .devices()
        .iter()
        .filter(|device| device.removed)
        .count();
    assert_eq!((tablet.devices().len(), removed), (3, 1));
    let again = recover(&url, tablet_folder.path(), &key, "Tablet").await;
    assert!(matches!(again, Err(ClientError::InUse(_))), "{again:?}");
    tablet.close().await.expect("closes");
    let again = recover(&url, tablet_folder.path(), &key, "Tablet").await;
    assert!(
        matches!(again, Err(ClientError::ProfileExists(_))),
        "{again:?}"
    );
}

#[tokio::test]
async fn surviving_device_is_informed_of_recovery_and_syncs() {
    let server = server::open(server::options()).await;
    let (url, key) = (url(&server), fresh_key());
    let (desk_folder, phone_folder) = (folder(), folder());
    let desk = create(&url, desk_folder.path(), &key).await;
    let mut events = desk.events();
    let phone = recover(&url, phone_folder.path(), &key, "Phone")
        .await
        .expect("comes back");
    let told = async {
        while events.recv().await.expect("open") != Event::Added(phone.status().device) {}
    };
    tokio::time::timeout(LONG, told).await.expect("told");
    push(&phone, &["from the phone"]).await;
    assert_eq!(
        received(&desk, &mut desk.changes(), 1).await,
        ["from the phone"]
    );
    push(&desk, &["from the desk"]).await;
    assert_eq!(
        received(&phone, &mut phone.changes(), 1).await,
        ["from the desk"]
    );
    // What it calls itself came before its first change.
    let names: Vec<_> = desk
        .devices()
        .into_iter()
        .filter_map(|device| device.name)
        .collect();
    assert_eq!(names, ["Desk", "Phone"]);
}

#[tokio::test]
async fn interrupted_recovery_resumes_with_same_device() {
    let server = server::open(server::options()).await;
    let (url, key) = (url(&server), fresh_key());
    let (desk_folder, phone_folder) = (folder(), folder());
    let desk = create(&url, desk_folder.path(), &key).await;
    // The relay has the new device, and the folder cannot take it: as a crash in between leaves it.
    let obstacle = phone_folder.path().join("journal");
    std::fs::write(&obstacle, "in the way").expect("written");
    recover(&url, phone_folder.path(), &key, "Phone")
        .await
        .expect_err("no room for it");
    assert!(!phone_folder.path().join("device").exists());
    std::fs::remove_file(&obstacle).expect("removed");
    let phone = recover(&url, phone_folder.path(), &key, "Phone")
        .await
        .expect("goes on");
    assert_eq!(
        phone.devices().len(),
        2,
        "no device without keys is left behind"
    );
    assert!(!phone_folder.path().join("recovering").exists());

    // Other words go on with nothing of it; and what was removed meanwhile is given up.
    let tablet_folder = folder();
    let obstacle = tablet_folder.path().join("journal");
    std::fs::write(&obstacle, "in the way").expect("written");
    recover(&url, tablet_folder.path(), &key, "Tablet")
        .await
        .expect_err("no room for it");
    let other = recover(&url, tablet_folder.path(), &fresh_key(), "Tablet")
        .await
        .expect_err("unknown");
    assert!(
        matches!(
            other,
            ClientError::Refused {
                code: Code::NotAMember,
                ..
            }
        ),
        "{other}"
    );
    recover(&url, tablet_folder.path(), &key, "Tablet")
        .await
        .expect_err("no room for it");
    std::fs::remove_file(&obstacle).expect("removed");
    let mut status = desk.watch();
    let four = status.wait_for(|status| status.devices.len() == 4);
    tokio::time::timeout(LONG, four)
        .await
        .expect("told")
        .expect("open");
    let last = desk.devices().pop().expect("the tablet").key;
    desk.remove(last).await.expect("removed");
    let error = recover(&url, tablet_folder.path(), &key, "Tablet")
        .await
        .expect_err("removed");
    assert!(
        matches!(error, ClientError::Recovery(RecoveryError::Removed)),
        "{error}"
    );
    let tablet = recover(&url, tablet_folder.path(), &key, "Tablet")
        .await
        .expect("with new keys");
    assert_ne!(tablet.status().device, last);
}

#[tokio::test]
async fn recovery_into_full_account_removes_devices_first() {
    let limits = Limits {
        account_devices_max: 2,
        frame_bytes_max: 64 * 1024,
        ..Limits::default()
    };
    let server = server::open_with(server::options(), limits, Registration::Open).await;
    let (url, key) = (url(&server), fresh_key());
    let (desk_folder, phone_folder, tablet_folder) = (folder(), folder(), folder());
    let desk = create(&url, desk_folder.path(), &key).await;
    let phone = recover(&url, phone_folder.path(), &key, "Phone")
        .await
        .expect("comes back");
    push(&desk, &["kept"]).await;
    received(&phone, &mut phone.changes(), 1).await;
    push(&phone, &["not yet read"]).await;
    desk.close().await.expect("closes");
    phone.close().await.expect("closes");
    let full = recover(&url, tablet_folder.path(), &key, "Tablet")
        .await
        .expect_err("full");
    assert!(
        matches!(
            full,
            ClientError::Refused {
                code: Code::QuotaDevices,
                ..
            }
        ),
        "{full}"
    );
    let mut alone = options(&url, tablet_folder.path(), &key, "Tablet");
    alone.remove_others = true;
    let tablet = Client::recover(alone, |_| ()).await.expect("comes back");
    let left: Vec<_> = tablet
        .devices()
        .into_iter()
        .filter(|device| !device.removed)
        .collect();
    assert!(left.len() == 1 && left[0].this, "{left:?}");
    assert_eq!(tablet.status().key_epoch, 2);
    assert_eq!(
        received(&tablet, &mut tablet.changes(), 1).await,
        ["not yet read"]
    );
    let desk = Client::open(OpenOptions::new(desk_folder.path()))
        .await
        .expect("opens");
    let refused = tokio::time::timeout(LONG, desk.up_to_date())
        .await
        .expect("in time");
    assert!(
        matches!(refused, Err(ClientError::Refused { .. })),
        "{refused:?}"
    );
    push(&tablet, &["after"]).await;
}

#[tokio::test]
async fn interrupted_account_creation_keeps_recovery_key() {
    let server = server::open(server::options()).await;
    let (url, key) = (url(&server), fresh_key());
    let (desk_folder, phone_folder) = (folder(), folder());
    let begin = |relay: &str, recovery| CreateOptions {
        profile_dir: desk_folder.path().to_owned(),
        relay: relay.to_owned(),
        invite: None,
        device_name: "Desk".into(),
        device_id: "desk-1".into(),
        recovery,
        connect: ConnectOptions::default(),
    };
    let nowhere = Client::create(begin("ws://127.0.0.1:1", Some(key.clone())))
        .await
        .expect_err("no relay");
    assert!(
        matches!(nowhere, ClientError::Unreachable { .. }),
        "{nowhere}"
    );
    // An app that made another key this time must not show the words of that.
    let other = Client::create(begin(&url, Some(fresh_key())))
        .await
        .expect_err("another key");
    assert!(matches!(other, ClientError::OtherRecoveryKey(_)), "{other}");
    begin(&url, Some(key.clone()))
        .check()
        .expect("the same key is right");
    let desk = Client::create(begin(&url, None)).await.expect("goes on");
    assert_eq!(desk.status().recovery, Some(key.keys().device()));
    recover(&url, phone_folder.path(), &key, "Phone")
        .await
        .expect("comes back");
}
