//! No device stores the recovery phrase or anything derived from it that could replace it.

use graceful_testing::server;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use graceful_client::RecoveryKey;

use super::{create, folder, push, received, recover};

const ENTROPY: [u8; 16] = *b"\x9c\x01\xfe\x37\x80\xab\x55\x12\xd0\x6e\x7f\x24\xb3\x99\xe1\x4a";

/// Every encoding in which a secret could be stored.
fn forms(key: &RecoveryKey) -> Vec<Vec<u8>> {
    let keys = key.keys();
    let mut forms = Vec::new();
    for secret in [
        &ENTROPY[..],
        &keys.signing().to_bytes(),
        keys.agreement().expose(),
    ] {
        forms.push(secret.to_vec());
        // Base64 is cut to the part that does not depend on the surrounding bytes.
        for encoding in [
            &HEXLOWER,
            &HEXUPPER,
            &BASE64,
            &BASE64_NOPAD,
            &BASE64URL_NOPAD,
        ] {
            let text = encoding.encode(secret);
            forms.push(text.trim_end_matches('=').as_bytes()[..20].to_vec());
        }
    }
    // Two words that follow each other, however they are written.
    for pair in key.words().windows(2) {
        for between in [
            " ",
            "  ",
            "\n",
            "\r\n",
            ",",
            ", ",
            "\",\"",
            "\", \"",
            "\",\n    \"",
            "\0",
        ] {
            let pair = format!("{}{between}{}", pair[0], pair[1]);
            forms.push(pair.to_uppercase().into_bytes());
            forms.push(pair.into_bytes());
        }
    }
    forms
}

/// Every file below, with what is in it.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push((path.clone(), std::fs::read(&path).expect("readable")));
        }
    }
    files
}

fn found(folder: &Path, forms: &[Vec<u8>]) -> Vec<PathBuf> {
    let holds =
        |content: &[u8], form: &Vec<u8>| content.windows(form.len()).any(|part| part == form);
    let files = files(folder).into_iter();
    files
        .filter(|(_, content)| forms.iter().any(|form| holds(content, form)))
        .map(|(path, _)| path)
        .collect()
}

#[tokio::test]
async fn recovery_phrase_is_stored_nowhere() {
    let server = server::open(server::options()).await;
    let url = format!("ws://{}", server.address);
    let key = RecoveryKey::from_entropy(ENTROPY);
    let forms = forms(&key);
    let (desk_folder, phone_folder) = (folder(), folder());
    let desk = create(&url, desk_folder.path(), &key).await;
    push(&desk, &["one"]).await;

    // In the middle of a recovery, too.
    let obstacle = phone_folder.path().join("journal");
    std::fs::write(&obstacle, "in the way").expect("written");
    recover(&url, phone_folder.path(), &key, "Phone")
        .await
        .expect_err("no room for it");
    assert!(phone_folder.path().join("recovering").exists());
    assert_eq!(found(phone_folder.path(), &forms), [] as [PathBuf; 0]);
    std::fs::remove_file(&obstacle).expect("removed");

    let phone = recover(&url, phone_folder.path(), &key, "Phone")
        .await
        .expect("comes back");
    received(&phone, &mut phone.changes(), 1).await;
    phone.remove(desk.status().device).await.expect("removed");
    push(&phone, &["two"]).await;
    drop(desk.close().await);
    phone.close().await.expect("closes");
    for folder in [
        desk_folder.path(),
        phone_folder.path(),
        server.folder.path(),
    ] {
        assert!(
            files(folder).iter().any(|(_, content)| content.len() > 500),
            "there is something to search"
        );
        assert_eq!(found(folder, &forms), [] as [PathBuf; 0]);
    }

    // The search finds each form where it is.
    for form in &forms {
        let planted = phone_folder.path().join("planted");
        std::fs::write(&planted, [b"before", &form[..], b"after"].concat()).expect("written");
        assert_eq!(
            found(phone_folder.path(), std::slice::from_ref(form)),
            [planted]
        );
    }
}
