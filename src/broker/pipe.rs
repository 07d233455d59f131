//! The writing half of one connection, shared between the task that owns the connection and every task that has
//! something to tell its client.
//!
//! Whoever routes a message appends it here and then writes it to the socket itself: no task is woken for a message
//! unless the socket is full. Order on the wire is the order of appending, whoever writes.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BytesMut};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

use super::packet::Form;

/// Publications wait in the session's queue while more than this many bytes wait here.
const FULL: usize = 256 * 1024;

/// Nothing more is read from a client that leaves this many bytes of answers unread.
const STUCK: usize = 1024 * 1024;

/// A buffer that grew beyond this is given back when it is empty.
const KEPT: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Pipe {
    half: OwnedWriteHalf,
    state: Mutex<State>,
    /// Whether publications wait in the session's queue for room here.
    pub(super) backlog: AtomicBool,
    /// Wakes the task of the connection: something waits to be written, or the end has come.
    pub(super) attention: Notify,
    /// Wakes whoever waits until something passes again.
    flows: Notify,
}

#[derive(Debug, Default)]
struct State {
    out: BytesMut,
    /// Whether somebody has already promised to write what is there.
    promised: bool,
    closing: bool,
    abandoned: bool,
    broken: bool,
    /// Whether nothing passes, either way, and neither end is told.
    stalled: bool,
}

impl Pipe {
    pub(super) fn new(half: OwnedWriteHalf) -> Self {
        Self {
            half,
            state: Mutex::default(),
            backlog: AtomicBool::new(false),
            attention: Notify::new(),
            flows: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends; `true` if the caller must see to it that [`Pipe::flush`] is called.
    pub(super) fn push(&self, append: impl FnOnce(&mut BytesMut)) -> bool {
        let mut state = self.state();
        if !state.broken {
            append(&mut state.out);
        }
        !std::mem::replace(&mut state.promised, true)
    }

    /// Appends a PUBLISH; as [`Pipe::push`].
    pub(super) fn push_form(&self, form: &Form, pkid: u16) -> bool {
        self.push(|out| {
            let start = out.len();
            out.extend_from_slice(&form.bytes);
            if pkid != 0 {
                let at = start + form.pkid_at;
                out[at..at + 2].copy_from_slice(&pkid.to_be_bytes());
            }
        })
    }

    /// Whether another publication may be appended; not where nothing passes, so that the record has it when it passes.
    pub(super) fn has_room(&self) -> bool {
        let state = self.state();
        state.out.len() < FULL && !state.stalled
    }

    /// Lets nothing pass any more, until [`Pipe::flow`].
    pub(super) fn stall(&self) {
        self.state().stalled = true;
        self.attention.notify_one();
    }

    pub(super) fn flow(&self) {
        self.state().stalled = false;
        self.flows.notify_waiters();
        self.attention.notify_one();
    }

    /// Waits until something passes.
    pub(super) async fn flowing(&self) {
        loop {
            let flows = self.flows.notified();
            tokio::pin!(flows);
            flows.as_mut().enable();
            if !self.is_stalled() {
                return;
            }
            flows.await;
        }
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.state().stalled
    }

    /// Whether the client leaves so much unread that it should not be listened to.
    pub(super) fn is_stuck(&self) -> bool {
        self.state().out.len() >= STUCK
    }

    /// Writes as much as the socket takes, for the task of the connection; `true` if something is left.
    pub(super) fn flush(&self) -> bool {
        let mut state = self.state();
        state.promised = false;
        if state.stalled {
            return false;
        }
        while !state.out.is_empty() {
            match self.half.try_write(&state.out) {
                Ok(0) => break,
                Ok(written) => state.out.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => {
                    // The reading half finds out why.
                    state.broken = true;
                    state.out.clear();
                }
            }
        }
        if state.out.capacity() > KEPT {
            state.out = BytesMut::new();
        } else {
            state.out.clear();
        }
        false
    }

    /// As [`Pipe::flush`], for every other task; tells the task of the connection if it has to go on: to wait for the
    /// socket, or to fetch what waits in the session.
    pub(super) fn flush_for_owner(&self) {
        if self.flush() || self.has_backlog() {
            self.attention.notify_one();
        }
    }

    /// Waits until the socket takes more.
    pub(super) async fn writable(&self) -> io::Result<()> {
        self.half.writable().await
    }

    /// Tells the task of the connection to end it, after what was appended before.
    pub(super) fn close(&self) {
        self.state().closing = true;
        self.attention.notify_one();
    }

    /// As [`Pipe::close`], without time for the client to read its last packet.
    pub(super) fn abandon(&self) {
        self.state().abandoned = true;
        self.close();
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.state().abandoned
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state().closing
    }

    pub(super) fn has_backlog(&self) -> bool {
        self.backlog.load(Ordering::Relaxed)
    }

    pub(super) fn set_backlog(&self, backlog: bool) {
        self.backlog.store(backlog, Ordering::Relaxed);
    }

    /// Ends the stream to the client; what was written before still arrives.
    pub(super) fn shut_down(&self) {
        // The halves of tokio want to be owned for this; a second handle on the same socket does as well.
        if let Ok(handle) = self.half.as_ref().as_fd().try_clone_to_owned() {
            // A connection that is already gone needs no end.
            let _ = std::net::TcpStream::from(handle).shutdown(Shutdown::Write);
        }
    }
}
