//! What an object store's error means, in words that an operator can act on.

use object_store::{Error, ObjectStoreScheme};

use super::error::StoreError;

/// Longest reason, characters: a proxy may answer with a page of HTML.
const MAX_REASON: usize = 200;

/// Where clouds tell their machines who they are.
const METADATA: [&str; 4] = ["/latest/api/token", "/latest/meta-data/", "/computeMetadata/", "/metadata/identity/"];

/// Why `url` could not be listed or read.
pub(super) fn judge(error: &Error, scheme: &ObjectStoreScheme, url: &str) -> StoreError {
    let text = error.to_string();
    let (url, reason) = (url.to_owned(), reason(&text));
    let status = status(&text);
    let asks_for_credentials = METADATA.iter().any(|path| text.contains(path));
    let refused = |advice: String| StoreError::Refused { url: url.clone(), reason: reason.clone(), advice };
    match (error, status, scheme) {
        _ if text.contains("invalid path") => refused("rename that object: it can be no file in a folder".to_owned()),
        _ if asks_for_credentials => {
            refused(format!("the environment has no credentials and this machine has none of its own: {}", credentials(scheme)))
        }
        (_, Some(403), ObjectStoreScheme::Http) => refused(format!("{}, where it wants them; {}", credentials(scheme), webdav())),
        (Error::PermissionDenied { .. } | Error::Unauthenticated { .. }, ..) | (_, Some(401 | 403), _) => refused(credentials(scheme)),
        (Error::NotFound { .. }, ..) | (_, Some(404), _) => refused("does it exist, in that region?".to_owned()),
        (_, Some(400..=499 | 501), ObjectStoreScheme::Http) => refused(webdav()),
        (_, None, ObjectStoreScheme::Http) if text.contains("PROPFIND") && !text.contains("Error performing") => refused(webdav()),
        (_, Some(400..=499), _) => refused(credentials(scheme)),
        _ => StoreError::Unreachable { url, reason, advice: "check the address, the network, the endpoint's variable and HTTPS_PROXY".to_owned() },
    }
}

fn webdav() -> String {
    "an http:// or https:// store is listed by WebDAV: the server must answer PROPFIND with `Depth: infinity`".to_owned()
}

fn credentials(scheme: &ObjectStoreScheme) -> String {
    let variables = match scheme {
        ObjectStoreScheme::AmazonS3 => "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, or AWS_SKIP_SIGNATURE=true for a public bucket",
        ObjectStoreScheme::GoogleCloudStorage => "GOOGLE_APPLICATION_CREDENTIALS, or GOOGLE_SKIP_SIGNATURE=true for a public bucket",
        ObjectStoreScheme::MicrosoftAzure => {
            "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_SKIP_SIGNATURE=true for a public container"
        }
        _ => "user and password in the address, https://user:password@host/prefix",
    };
    format!("set {variables}")
}

/// The HTTP status that the store answered with.
fn status(text: &str) -> Option<u16> {
    text.split_once("status code: ")?.1.get(..3)?.parse().ok()
}

/// The store's own words where it has some, else the last part of the error, in one line.
fn reason(text: &str) -> String {
    let between = |open: &str, close: &str| Some(text.split_once(open)?.1.split_once(close)?.0.to_owned());
    let own = between("<Code>", "</Code>").map(|code| match between("<Message>", "</Message>") {
        Some(message) => format!("{code}, {message}"),
        None => code,
    });
    let last = || {
        let last = text.rsplit(" - ").next().unwrap_or(text);
        let last = last.trim_start_matches("Server returned non-2xx status code: ").trim_start_matches("HTTP error: ");
        last.split('<').next().unwrap_or(last).to_owned()
    };
    let line =
        own.unwrap_or_else(last).split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    line.trim_end_matches([':', '.']).chars().take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str, scheme: &ObjectStoreScheme) -> String {
        judge(&Error::Generic { store: "S3", source: text.into() }, scheme, "s3://b/p").to_string()
    }

    #[test]
    fn a_stores_own_words_are_kept_and_its_page_is_not() {
        let xml = "Error performing list request: Error performing GET http://h/b in 1ms - Server returned non-2xx status code: 403 Forbidden: \
                   <?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><Message>The key\nis wrong.</Message><StringToSign>x</StringToSign></Error>";
        let said = judged(xml, &ObjectStoreScheme::AmazonS3);
        let advice = "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, or AWS_SKIP_SIGNATURE=true for a public bucket";
        assert_eq!(said, format!("cannot read s3://b/p: SignatureDoesNotMatch, The key is wrong; {advice}"));
        let page = "Error performing GET http://h/b in 1ms - Server returned non-2xx status code: 502 Bad Gateway: <html>long</html>";
        assert!(judged(page, &ObjectStoreScheme::AmazonS3).starts_with("cannot reach s3://b/p: 502 Bad Gateway; check the address"));
    }

    #[test]
    fn a_server_without_propfind_is_told_what_is_needed() {
        let text = "Error performing PROPFIND http://h/p in 1ms - Server returned non-2xx status code: 405 Method Not Allowed: ";
        let said = judged(text, &ObjectStoreScheme::Http);
        assert!(said.starts_with("cannot read s3://b/p: 405 Method Not Allowed; ") && said.contains("must answer PROPFIND"), "{said}");
    }

    #[test]
    fn a_machine_without_credentials_is_told_where_they_are_looked_for() {
        let text = "Error performing PUT http://169.254.169.254/latest/api/token in 1s, after 3 retries - HTTP error: timeout: connect";
        assert!(judged(text, &ObjectStoreScheme::AmazonS3).contains("the environment has no credentials"));
    }
}
