//! Ping-pong between two async functions in Rust.
//!
//!     rustc -O --edition 2021 ping_pong.rs && ./ping_pong 1000000
//!
//! The language has `async` and the traits, and the library has no executor: people take tokio.
//! Here it is thirty lines. What is printed: a name, and the nanoseconds of one switch.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

type Ready = Arc<Mutex<VecDeque<usize>>>; // a waker may be called from any thread: hence the lock

struct WakeUp(usize, Ready);

impl Wake for WakeUp {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push_back(self.0);
    }
}

fn run(mut tasks: Vec<Pin<Box<dyn Future<Output = ()>>>>) {
    let ready: Ready = Arc::new(Mutex::new((0..tasks.len()).collect()));
    let wakers: Vec<Waker> =
        (0..tasks.len()).map(|i| Waker::from(Arc::new(WakeUp(i, ready.clone())))).collect();
    let next = || ready.lock().unwrap().pop_front(); // locked no longer than that
    while let Some(i) = next() {
        let _ = tasks[i].as_mut().poll(&mut Context::from_waker(&wakers[i]));
    }
}

/// Room for one message, and for one who waits for it.
#[derive(Default)]
struct Mailbox {
    message: Option<u64>,
    waiting: Option<Waker>,
}

fn put(mailbox: &RefCell<Mailbox>, value: u64) {
    let mut it = mailbox.borrow_mut();
    it.message = Some(value);
    if let Some(waker) = it.waiting.take() {
        waker.wake();
    }
}

struct Get<'a>(&'a RefCell<Mailbox>);

impl Future for Get<'_> {
    type Output = u64;
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<u64> {
        let mut it = self.0.borrow_mut();
        match it.message.take() {
            Some(value) => Poll::Ready(value),
            None => {
                it.waiting = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

async fn ping(n: u64, out: Rc<RefCell<Mailbox>>, back: Rc<RefCell<Mailbox>>) {
    let mut total = 0;
    for i in 0..n {
        put(&out, i);
        total += Get(&back).await;
    }
    assert_eq!(total, n * (n - 1) / 2, "a message was lost");
}

async fn pong(n: u64, inbox: Rc<RefCell<Mailbox>>, back: Rc<RefCell<Mailbox>>) {
    for _ in 0..n {
        let message = Get(&inbox).await;
        put(&back, message);
    }
}

fn nanoseconds_per_switch(n: u64) -> f64 {
    let there = Rc::new(RefCell::new(Mailbox::default()));
    let back = Rc::new(RefCell::new(Mailbox::default()));
    let start = Instant::now();
    run(vec![
        Box::pin(ping(n, there.clone(), back.clone())),
        Box::pin(pong(n, there, back)),
    ]);
    start.elapsed().as_nanos() as f64 / (2 * n) as f64
}

fn main() {
    let n = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().unwrap());
    let best = (0..5).map(|_| nanoseconds_per_switch(n)).fold(f64::INFINITY, f64::min);
    println!("async-functions {best:.1}");
}
