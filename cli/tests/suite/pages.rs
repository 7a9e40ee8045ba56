//! The page of `--report` in a real browser: laid out without overflow on a screen and on a phone, light and dark, and drawn.
//! Without Chromium these are skipped, and say so.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{run, stderr};

/// Measures the page and writes what it finds into its title.
const MEASURE: &str = r#"<script>addEventListener("load", function () {
  var root = document.documentElement, drawn = 0, empty = 0, spilled = 0;
  document.querySelectorAll(".lane svg").forEach(function (chart) {
    var box = chart.getBoundingClientRect();
    if (box.width > 80 && box.height >= 20) { drawn++; } else { empty++; }
  });
  document.querySelectorAll("h1, h2, .tile, .lane, .plot, .node").forEach(function (part) {
    if (part.getBoundingClientRect().right > innerWidth + 1) { spilled++; }
  });
  document.title = ["measured", innerWidth, root.scrollWidth, drawn, empty, spilled].join(" ");
});</script>"#;

fn chromium() -> Option<&'static str> {
    let found = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| {
            Command::new(name)
                .arg("--version")
                .output()
                .is_ok_and(|output| output.status.success())
        });
    if found.is_none() {
        eprintln!("skipped: no Chromium on this machine (apt-get install chromium)");
    }
    found
}

/// Plans the published run with its placement open in part, into a page.
fn page(folder: &Path) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = folder.join("report.html");
    let arguments = [
        "plan",
        "examples/neox_20b.pleach",
        "--set",
        "plan.pp=auto",
        "--report",
    ];
    let output = run(
        &root,
        &[&arguments[..], &[path.to_str().expect("the path is text")]].concat(),
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    path
}

/// What the browser answers about a page in a window of a width.
fn browse(browser: &str, folder: &Path, width: u32, arguments: &[&str], page: &Path) -> Vec<u8> {
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
        ])
        .arg(format!(
            "--user-data-dir={}",
            folder.join("browser").display()
        ))
        .arg(format!("--window-size={width},2400"))
        .args(arguments)
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("the browser starts");
    output.stdout
}

#[test]
fn the_page_is_laid_out_on_a_screen_and_on_a_phone() {
    let Some(browser) = chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    let page = page(folder.path());
    let text = std::fs::read_to_string(&page).unwrap();
    let lanes = text.matches("class=\"lane\"").count() as u64;
    std::fs::write(&page, text.replace("</body>", &format!("{MEASURE}</body>"))).unwrap();
    for width in [1280, 390] {
        let dom = browse(browser, folder.path(), width, &["--dump-dom"], &page);
        let dom = String::from_utf8_lossy(&dom).into_owned();
        let title = dom
            .split("<title>measured ")
            .nth(1)
            .expect("the page was measured");
        let figures = title.split("</title>").next().unwrap().split(' ');
        let figures: Vec<u64> = figures.map(|figure| figure.parse().unwrap()).collect();
        let [inner, scrolled, drawn, empty, spilled] = figures[..] else {
            panic!("{title}")
        };
        assert!(scrolled <= inner, "{width}: {scrolled} of {inner}");
        assert_eq!((drawn, empty, spilled), (lanes, 0, 0), "{width}");
    }
}

/// Width and height of a picture, from its header.
fn dimensions(png: &[u8]) -> [u32; 2] {
    assert_eq!(&png[1..4], b"PNG");
    [16, 20].map(|at| u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes")))
}

#[test]
fn the_page_is_drawn_and_dark_is_another_picture() {
    let Some(browser) = chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    let page = page(folder.path());
    let picture = |width: u32, more: &[&str], page: &Path| {
        let path = folder.path().join("picture.png");
        let screenshot = format!("--screenshot={}", path.display());
        browse(
            browser,
            folder.path(),
            width,
            &[&[screenshot.as_str()], more].concat(),
            page,
        );
        std::fs::read(&path).expect("a picture was taken")
    };
    for width in [1280, 390] {
        let png = picture(width, &[], &page);
        assert_eq!(dimensions(&png), [width, 2400]);
        // A blank page of this size has some ten thousand bytes.
        assert!(png.len() > 60_000, "{width}: {}", png.len());
    }
    let text = std::fs::read_to_string(&page).unwrap();
    let dark = folder.path().join("dark.html");
    std::fs::write(
        &dark,
        text.replace("color-scheme: light dark", "color-scheme: dark"),
    )
    .unwrap();
    let [light, dark] = [picture(390, &[], &page), picture(390, &[], &dark)];
    assert_ne!(light, dark);
}
