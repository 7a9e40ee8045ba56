//! Names of the Hub: found in its cache, fetched from a server that speaks as the Hub does, or refused with the place where they belong.

use std::fs;

use super::*;

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The cache in a folder, and no network.
fn hub(folder: &Path) -> Hub {
    Hub {
        cache: Cache::new(folder.to_path_buf()),
        endpoint: None,
        is_offline: true,
    }
}

#[test]
fn files_are_found_where_the_tools_of_the_hub_put_them() {
    let folder = tempfile::tempdir().unwrap();
    let hub = hub(folder.path());
    let model = folder.path().join("models--someone--words");
    write(&model.join("blobs/12ab"), "{}");
    write(&model.join("refs/main"), "77cc");
    fs::create_dir_all(model.join("snapshots/77cc")).unwrap();
    std::os::unix::fs::symlink(
        "../../blobs/12ab",
        model.join("snapshots/77cc/tokenizer.json"),
    )
    .unwrap();
    let path = file_in(&hub, "hf:someone/words", "tokenizer.json").unwrap();
    assert_eq!(path, model.join("snapshots/77cc/tokenizer.json"));
    assert!(file_in(&hub, "hf:someone/words@77cc", "tokenizer.json").is_ok());
    let error = file_in(&hub, "hf:someone/words@v2", "tokenizer.json")
        .unwrap_err()
        .to_string();
    let place = model
        .join("snapshots/v2/tokenizer.json")
        .display()
        .to_string();
    assert!(error.contains(&place), "{error}");
    assert!(
        error.contains("`hf download someone/words --revision v2`"),
        "{error}"
    );
}

#[test]
fn a_dataset_is_its_files_of_text_or_those_that_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let hub = hub(folder.path());
    let error = files_in(&hub, "hf:someone/text", "web", &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("datasets--someone--text/snapshots/main/*.jsonl"),
        "{error}"
    );
    assert!(error.contains("--repo-type dataset"), "{error}");
    let data = folder.path().join("datasets--someone--text");
    // Made by hand, without a name for the commit.
    let at = data.join("snapshots/main");
    for file in [
        "README.md",
        "data/a.jsonl.zst",
        "data/b.jsonl",
        ".hidden/c.jsonl",
        "data/info.json",
    ] {
        write(&at.join(file), "{}");
    }
    let found = files_in(&hub, "hf:someone/text", "web", &[]).unwrap();
    let found: Vec<String> = found.iter().map(|path| inside(path)).collect();
    assert_eq!(found, ["data/a.jsonl.zst", "data/b.jsonl"]);
    let some = files_in(&hub, "hf:someone/text", "web", &["data/*.json".to_owned()]).unwrap();
    assert_eq!(some, [at.join("data/info.json")]);
    assert!(files_in(&hub, "hf:someone/text", "web", &["*.csv".to_owned()]).is_err());
}

#[cfg(feature = "download")]
mod fetched {
    use std::collections::BTreeMap;
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// A server that answers as the Hub does: a listing, and files of one commit.
    #[derive(Clone, Default)]
    struct Server {
        files: BTreeMap<String, Vec<u8>>,
        /// What the listing says of a size, where it is not so.
        lies: BTreeMap<String, u64>,
        /// Files that the server has lost.
        lost: Vec<String>,
    }

    impl Server {
        fn of(files: &[(&str, &str)]) -> Server {
            let files = files.iter();
            Server {
                files: files
                    .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
                    .collect(),
                ..Server::default()
            }
        }

        /// Serves until the process ends; the address.
        fn start(self) -> String {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = format!("http://{}", listener.local_addr().unwrap());
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    self.answer(stream);
                }
            });
            address
        }

        fn answer(&self, mut stream: TcpStream) {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            let head = lines
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty());
            let head: Vec<String> = head.map(|line| line.to_lowercase()).collect();
            let range = head
                .iter()
                .find_map(|line| line.strip_prefix("range: bytes="));
            let path = first.split(' ').nth(1).unwrap();
            let (body, more) = match path.split_once("/resolve/c0ffee/") {
                Some((_, name)) if self.lost.contains(&name.to_owned()) => return,
                Some((_, name)) => self.part(name, range.unwrap()),
                None => (self.listing(), String::new()),
            };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n"
            );
            // A client that went away is no mistake of the server.
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }

        fn part(&self, name: &str, range: &str) -> (Vec<u8>, String) {
            let whole = &self.files[name];
            let (from, to) = range.split_once('-').unwrap();
            let from: usize = from.parse().unwrap();
            let to = to.parse().map_or(whole.len(), |to: usize| to + 1);
            let more = format!(
                "Content-Range: bytes {from}-{}/{}\r\nETag: \"{}\"\r\nX-Repo-Commit: c0ffee\r\n",
                to - 1,
                whole.len(),
                blake3::hash(whole).to_hex()
            );
            (whole[from..to].to_vec(), more)
        }

        fn listing(&self) -> Vec<u8> {
            let size = |name: &str, bytes: &[u8]| {
                let lie = self.lies.get(name).copied();
                lie.unwrap_or(bytes.len() as u64)
            };
            let siblings = self.files.iter().map(
                |(name, bytes)| serde_json::json!({"rfilename": name, "size": size(name, bytes)}),
            );
            let siblings: Vec<_> = siblings.collect();
            serde_json::json!({"sha": "c0ffee", "siblings": siblings})
                .to_string()
                .into_bytes()
        }
    }

    fn online(folder: &Path, server: Server) -> Hub {
        Hub {
            endpoint: Some(server.start()),
            is_offline: false,
            ..hub(folder)
        }
    }

    #[test]
    fn what_is_missing_comes_from_the_hub_once() {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            ("tokenizer.json", "{\"a\": 1}"),
            ("model.safetensors", "large"),
        ];
        let online = online(folder.path(), Server::of(&files));
        let path = file_in(&online, "hf:someone/words", "tokenizer.json").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), files[0].1);
        let model = folder.path().join("models--someone--words");
        assert_eq!(path, model.join("snapshots/c0ffee/tokenizer.json"));
        assert!(!model.join("snapshots/c0ffee/model.safetensors").exists());
        let offline = hub(folder.path());
        let again = file_in(&offline, "hf:someone/words", "tokenizer.json").unwrap();
        assert_eq!(again, path);
        let error = file_in(&online, "hf:someone/words", "vocab.txt").unwrap_err();
        let error = error.to_string();
        assert!(error.contains("the Hub has no such file"), "{error}");
    }

    #[test]
    fn a_dataset_is_fetched_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            ("README.md", "about"),
            (".gitattributes", "x"),
            ("data/a.jsonl", "{\"text\": \"a\"}\n"),
            ("data/b.jsonl", "{\"text\": \"b\"}\n"),
        ];
        let mut broken = Server::of(&files);
        broken.lost.push("data/b.jsonl".to_owned());
        let first = files_in(&online(folder.path(), broken), "hf:a/b", "web", &[]);
        let error = first.unwrap_err().to_string();
        assert!(error.contains("data/b.jsonl: "), "{error}");
        let place = folder.path().join("datasets--a--b/snapshots/c0ffee");
        assert!(place.join("data/a.jsonl").exists());
        // One file of two is there, and that is no dataset.
        assert!(files_in(&hub(folder.path()), "hf:a/b@c0ffee", "web", &[]).is_err());
        let whole = online(folder.path(), Server::of(&files));
        let found = files_in(&whole, "hf:a/b", "web", &[]).unwrap();
        let found: Vec<String> = found.iter().map(|path| inside(path)).collect();
        assert_eq!(found, ["data/a.jsonl", "data/b.jsonl"]);
        assert!(files_in(&hub(folder.path()), "hf:a/b", "web", &[]).is_ok());
    }

    #[test]
    fn a_part_of_a_dataset_never_passes_for_all_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let online = online(
            folder.path(),
            Server::of(&[("train-0.jsonl", "{}"), ("train-1.jsonl", "{}")]),
        );
        let count = |globs: &[&str]| {
            let globs: Vec<String> = globs.iter().map(|&glob| glob.to_owned()).collect();
            files_in(&online, "hf:a/b", "web", &globs).map(|files| files.len())
        };
        assert_eq!(count(&["train-0*"]).unwrap(), 1);
        let offline = files_in(&hub(folder.path()), "hf:a/b", "web", &[]);
        let error = offline.unwrap_err().to_string();
        assert!(error.contains("train-1.jsonl of it is missing"), "{error}");
        assert_eq!(count(&["train-*"]).unwrap(), 2);
        assert_eq!(count(&[]).unwrap(), 2);
        assert_eq!(
            files_in(&hub(folder.path()), "hf:a/b", "web", &[])
                .unwrap()
                .len(),
            2
        );
    }

    #[test]
    fn what_another_tool_left_is_completed_where_the_hub_can_be_asked() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("datasets--a--b/snapshots/c0ffee");
        write(&kept.join("a.jsonl"), "{}");
        write(&folder.path().join("datasets--a--b/refs/main"), "c0ffee");
        let alone = files_in(&hub(folder.path()), "hf:a/b", "web", &[]).unwrap();
        assert_eq!(alone.len(), 1);
        let online = online(
            folder.path(),
            Server::of(&[("a.jsonl", "{}"), ("b.jsonl", "{}")]),
        );
        assert_eq!(files_in(&online, "hf:a/b", "web", &[]).unwrap().len(), 2);
    }

    #[test]
    fn a_listing_that_cannot_be_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut short = Server::of(&[("a.jsonl", "{}")]);
        short.lies.insert("a.jsonl".to_owned(), 7);
        let short = online(folder.path(), short);
        for _ in 0..2 {
            let error = files_in(&short, "hf:a/b", "web", &[])
                .unwrap_err()
                .to_string();
            assert!(error.contains("a.jsonl has 2 of 7 bytes"), "{error}");
        }
        let outside = online(folder.path(), Server::of(&[("../../a.jsonl", "{}")]));
        let all = ["**".to_owned()];
        let error = files_in(&outside, "hf:c/d", "web", &all)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("names a file `../../a.jsonl`") || error.contains("no such file"),
            "{error}"
        );
        assert!(!folder.path().join("a.jsonl").exists());
        let silent = Hub {
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            ..online(folder.path(), Server::default())
        };
        let error = file_in(&silent, "hf:e/f", "tokenizer.json")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("cannot be fetched: ") && error.contains("hf download e/f"),
            "{error}"
        );
    }
}
