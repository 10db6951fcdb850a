// Ping-pong between two coroutines in C++20.
//
//     c++ -O2 -std=c++20 -o ping_pong ping_pong.cpp && ./ping_pong 1000000
//
// The language has co_await and <coroutine>, and the library has no task and no event loop: those
// are written here. What is printed: a name, and the nanoseconds of one switch.

#include <algorithm>
#include <chrono>
#include <coroutine>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <optional>
#include <utility>

std::deque<std::coroutine_handle<>> ready;  // the event loop: whoever can go on

struct Task {  // paused before its first line, like a coroutine in Python
  struct promise_type {
    Task get_return_object() { return Task{std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };

  explicit Task(std::coroutine_handle<promise_type> handle) : handle(handle) {}
  Task(const Task&) = delete;
  ~Task() { handle.destroy(); }
  std::coroutine_handle<promise_type> handle;
};

struct Mailbox {  // room for one message, and for one who waits for it
  std::optional<long> message;
  std::coroutine_handle<> waiting;

  void put(long value) {
    message = value;
    if (waiting) ready.push_back(std::exchange(waiting, nullptr));
  }

  bool await_ready() const { return message.has_value(); }
  void await_suspend(std::coroutine_handle<> me) { waiting = me; }
  long await_resume() { return *std::exchange(message, std::nullopt); }
};

Task ping(long n, Mailbox& out, Mailbox& back, long& total) {
  for (long i = 0; i < n; i++) {
    out.put(i);
    total += co_await back;
  }
}

Task pong(long n, Mailbox& in, Mailbox& back) {
  for (long i = 0; i < n; i++) back.put(co_await in);
}

double nanoseconds_per_switch(long n) {
  Mailbox there, back;
  long total = 0;
  Task one = ping(n, there, back, total), other = pong(n, there, back);
  auto start = std::chrono::steady_clock::now();
  ready = {one.handle, other.handle};
  while (!ready.empty()) {
    auto next = ready.front();
    ready.pop_front();
    next.resume();
  }
  std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
  if (total != n * (n - 1) / 2) std::abort();  // a message was lost
  return took.count() / (2 * n);
}

int main(int argc, char** argv) {
  long n = argc > 1 ? std::atol(argv[1]) : 1000000;
  double best = nanoseconds_per_switch(n);
  for (int i = 0; i < 4; i++) best = std::min(best, nanoseconds_per_switch(n));
  std::printf("coroutines %.1f\n", best);
}
