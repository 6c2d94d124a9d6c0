#include "serve.hpp"

#include <array>
#include <chrono>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <system_error>

#include "connection_presence.hpp"
#include "guest.hpp"

namespace kv {
namespace {

constexpr std::size_t longest_request = std::size_t{1} << 30;

weir::task<> dispose(std::shared_ptr<garbage> old) {
  const auto job = [old] { old->free(); };
  try {
    co_await weir::offload(job);
  } catch (const std::system_error&) {  // no thread for it: it is freed here
  }
}

// On the core of the keys.
guest::progress run_here(engine& keys, guest& here, std::string_view input, weir::write_buffer& answers) {
  const auto done = here.run(input, wall_clock(), answers);
  if (keys.keys().has_garbage()) [[unlikely]]
    free_garbage(keys);
  return done;
}

// To the core of the keys and back, while the caller stays. The answers go the way of the messages.
weir::task<> run_there(engine* keys, guest* here, std::string_view input, weir::core* owner,
                       guest::progress* done) {
  weir::core& home = weir::core::here();
  weir::write_buffer none;
  bool failed = false;
  co_await weir::switch_to(*owner);
  try {
    *done = run_here(*keys, *here, input, none);
  } catch (const std::bad_alloc&) {
    failed = true;
  }
  co_await weir::switch_to(home);
  if (failed) throw std::bad_alloc();
}

// Sends what comes for a client that has subscribed, as much at once as there is.
weir::task<> deliver(weir::connection* client, std::shared_ptr<inbox> box) {
  std::array<message, 32> kept;
  std::array<std::string_view, 32> pieces;
  for (;;) {
    const auto first = co_await box->receive();
    if (!first) co_return;
    std::size_t count = 0;
    std::size_t bytes = 0;
    for (std::optional<message> next = first; next;
         next = count < kept.size() ? box->try_receive() : std::nullopt) {
      kept[count] = std::move(*next);
      pieces[count] = *kept[count];
      bytes += pieces[count].size();
      ++count;
    }
    const std::span<const std::string_view> all(pieces.data(), count);
    const bool sent = co_await client->send(all);
    box->sent(bytes);
    for (std::size_t i = 0; i < count; ++i) kept[i].reset();
    if (sent) continue;
    box->close();
    co_return;
  }
}

// Until the client leaves, which is false, or has no subscription any more.
weir::task<bool> serve_subscriber(weir::connection* client, weir::reader* in, guest* here, engine* keys,
                                  weir::core* owner) {
  const std::shared_ptr<inbox> box = here->messages();
  weir::scope sending;
  sending.spawn(deliver(client, box));
  bool is_full = true;  // what made it subscribe may have more behind it
  bool ends = false;
  while (!ends && !here->state().messages_end) {
    if (!is_full) {
      const std::size_t had = in->buffered().size();
      const auto has = co_await in->peek(had + 1);
      ends = has.size() == had;
      if (ends) break;
    }
    guest::progress done{};
    weir::scope trip;
    trip.spawn(run_there(keys, here, in->buffered(), owner, &done));
    co_await trip.join();
    in->consume(done.bytes);
    weir::core::here().count_requests(done.requests);
    is_full = done.is_full;
  }
  box->close();
  co_await sending.join();
  co_return !ends && !here->state().leaves;
}

}  // namespace

milliseconds_since_1970 wall_clock() noexcept {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

void free_garbage(engine& keys) { weir::core::here().spawn(dispose(keys.keys().take_garbage())); }

weir::task<> serve(weir::connection client, server* shared) {
  weir::core& home = weir::core::here();
  weir::core& owner = home.pool() == nullptr ? home : (*home.pool())[0];
  const bool is_away = &owner != &home;
  engine& keys = shared->keys;
  const present there(home, client);
  guest here(keys, client.peer().to_string(), client.local().to_string(), client.native_handle(),
             there.presence());
  weir::writer out(client);
  weir::reader in(client, out, longest_request);
  weir::write_buffer made_away;  // the writer's memory belongs to this core

  for (;;) {
    guest::progress done{};
    bool failed = false;
    co_await weir::switch_to(owner);
    try {
      done = run_here(keys, here, in.buffered(), is_away ? made_away : out);
    } catch (const std::bad_alloc&) {
      failed = true;  // what belongs to the connection must not be destroyed here
    }
    co_await weir::switch_to(home);
    if (failed) throw std::bad_alloc();
    in.consume(done.bytes);
    home.count_requests(done.requests);
    if (is_away) {
      out.write(made_away.text());
      made_away.clear();
    }
    if (here.has_messages()) [[unlikely]] {
      const bool sent = co_await out.flush();
      if (!sent) break;
      const bool goes_on = co_await serve_subscriber(&client, &in, &here, &keys, &owner);
      if (!goes_on) break;
      continue;
    }
    if (here.state().leaves) break;
    if (done.is_full) {
      const bool sent = co_await out.flush();
      if (!sent) break;
      continue;
    }
    const std::size_t had = in.buffered().size();
    const auto has = co_await in.peek(had + 1);
    if (has.size() == had) break;
  }
  if (here.state().is_foreign)
    if (const auto others = shared->strangers.pass())
      weir::log::warning("{} speaks another protocol: closed, and {} before", here.state().address, *others);
  co_await out.flush();
}

}  // namespace kv
