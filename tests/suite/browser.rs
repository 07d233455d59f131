//! Chromium without a window, driven over a pipe with the DevTools protocol, as a person would use it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::clients;
use crate::project::DEADLINE;

/// A browser with one page.
pub struct Browser {
    child: Child,
    input: ChildStdin,
    output: Receiver<Value>,
    session: String,
    next: u64,
    /// What it reported so far, besides answers.
    seen: Vec<Value>,
    _profile: TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends its own processes when it is asked to, and then has no more to say.
        let _ = self.write(&json!({"id": 0, "method": "Browser.close"}));
        while self.output.recv_timeout(Duration::from_secs(10)).is_ok() {}
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Browser {
    /// Starts it, if there is one.
    pub fn start() -> Option<Self> {
        let chromium = clients::chromium()?;
        let profile = TempDir::new().unwrap();
        // The protocol is on the descriptors 3 and 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "sh"])
            .arg(chromium)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (sender, output) = channel();
        let pipe = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for message in pipe.split(0).map_while(Result::ok) {
                if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    return;
                }
            }
        });
        let input = child.stdin.take().unwrap();
        let session = String::new();
        let mut browser = Self { child, input, output, session, next: 1, seen: Vec::new(), _profile: profile };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached = browser.call("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    fn write(&mut self, message: &Value) -> std::io::Result<()> {
        self.input.write_all(format!("{message}\0").as_bytes())
    }

    /// Calls a method; what it returned.
    #[track_caller]
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        let id = self.next;
        self.next += 1;
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.write(&message).unwrap();
        loop {
            let mut message = self.output.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("no answer to {method}"));
            assert_ne!(message["method"], "Page.javascriptDialogOpening", "a foreign script ran: {message}");
            if message["id"] != id {
                self.seen.push(message);
                continue;
            }
            assert_eq!(message["error"], Value::Null, "{method}");
            return message["result"].take();
        }
    }

    /// The value of an expression in the page; a promise is waited for.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.call("Runtime.evaluate", asked);
        assert_eq!(answer["exceptionDetails"], Value::Null, "{expression}");
        answer["result"]["value"].take()
    }

    /// Waits until an expression in the page is true.
    #[track_caller]
    pub fn until(&mut self, expression: &str) {
        let waiting = "new Promise(done => { const end = Date.now() + 60000; const look = () => {
            let is = false; try { is = Boolean(EXPRESSION) } catch {}
            is || Date.now() > end ? done(is) : setTimeout(look, 20) }; look() })";
        if self.value(&waiting.replace("EXPRESSION", expression)) != true {
            panic!("not seen: {expression}; the page has\n{}", self.value("document.body.innerText"));
        }
    }

    /// Opens a page.
    #[track_caller]
    pub fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({"url": url}));
        self.until("document.readyState === 'complete' && location.protocol !== 'about:'");
    }

    /// Writes where the focus is.
    #[track_caller]
    pub fn write_text(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// Presses Enter, Space or Tab where the focus is.
    #[track_caller]
    pub fn press(&mut self, key: &str) {
        let (key, code, text) = match key {
            "Enter" => (key, 13, "\r"),
            "Space" => (" ", 32, " "),
            _ => (key, 9, ""),
        };
        let down = json!({"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text});
        self.call("Input.dispatchKeyEvent", down);
        self.call("Input.dispatchKeyEvent", json!({"type": "keyUp", "key": key, "code": key}));
    }

    /// Chooses this value of the select with this id.
    #[track_caller]
    pub fn choose(&mut self, id: &str, value: &str) {
        let (select, value) = (format!("document.getElementById('{id}')"), json!(value));
        self.value(&format!("{select}.value = {value}; {select}.dispatchEvent(new Event('input', {{bubbles: true}}))"));
        self.value(&format!("{select}.dispatchEvent(new Event('change', {{bubbles: true}}))"));
        assert_eq!(self.value(&format!("{select}.value")), value);
    }

    /// Prefers this colour scheme.
    #[track_caller]
    pub fn prefer(&mut self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", features);
    }

    /// Makes the window so many pixels wide.
    #[track_caller]
    pub fn widen(&mut self, width: u32) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// What the page complained of: errors, warnings, anything on its console.
    pub fn complaints(&mut self) -> Vec<Value> {
        let is_complaint = |message: &&Value| match message["method"].as_str() {
            Some("Runtime.exceptionThrown" | "Runtime.consoleAPICalled") => true,
            Some("Log.entryAdded") => message["params"]["entry"]["level"] != "verbose",
            _ => false,
        };
        self.drain();
        self.seen.iter().filter(is_complaint).cloned().collect()
    }

    /// What it asked for over the network.
    pub fn requests(&mut self) -> Vec<String> {
        self.drain();
        let sent = self.seen.iter().filter(|message| message["method"] == "Network.requestWillBeSent");
        sent.map(|message| message["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    fn drain(&mut self) {
        self.call("Browser.getVersion", json!({}));
        self.seen.extend(self.output.try_iter());
    }
}
