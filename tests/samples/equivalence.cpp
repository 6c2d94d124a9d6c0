// A server for the test that a handler behaves the same under every model. Eight bytes name the connection
// and what it speaks: "0001echo", "0001both" or "0001line"; the commands of the last use everything that a
// handler may wait for. What the handler sees of its peer's end is appended to the file that --notes names.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <map>
#include <weir/weir.hpp>

using namespace std::chrono_literals;

namespace {

std::string notes = "/dev/null";

// One write of a file opened for appending is one line, whoever else writes.
void note(const std::string& name, const std::string& text) {
  const std::string line = name + " " + text + "\n";
  const weir::unique_fd file(::open(notes.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  if (::write(file.get(), line.data(), line.size()) < 0) weir::log::error("{} cannot be written", notes);
}

std::string word(weir::ending e) {
  constexpr std::array<std::string_view, 6> words{"none", "closed by the peer", "reset by the peer",
                                                  "idle", "stopping",           "closed"};
  return std::string(words[static_cast<std::size_t>(e)]);
}

std::size_t number(std::string_view text) {
  std::size_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

std::chrono::milliseconds milliseconds(std::string_view text) {
  return std::chrono::milliseconds(number(text));
}

// FNV-1a, as the client computes it too.
std::string digest(std::string_view bytes) {
  std::uint32_t hash = 2166136261;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619;
  return std::to_string(hash);
}

std::string numbers(std::size_t size) {
  std::string text;
  for (std::size_t i = 0; text.size() < size; ++i) text += std::to_string(i) + " ";
  text.resize(size);
  return text;
}

struct session {
  std::string name;
  weir::connection* client;
  weir::reader* in;
  weir::writer* out;
  bool over = false;

  void say(const std::string& text) const { out->write(text + "\n"); }
};

// The answer to what a client sends in order: each takes the session and the rest of its line.
using command = weir::task<> (*)(session*, std::string);

weir::task<> say(session* s, std::string text) {
  s->say(text);
  co_return;
}

weir::task<> take(session* s, std::string size) {
  const auto body = co_await s->in->exactly(number(size));
  if (body)
    s->say("took " + size + " " + digest(*body));
  else
    s->over = true;
}

weir::task<> peek(session* s, std::string size) {
  const auto seen = co_await s->in->peek(number(size));
  const std::string text(seen.substr(0, number(size)));
  s->in->consume(text.size());
  s->say("peeked " + text);
}

weir::task<> nap(session* s, std::string time) {
  co_await s->out->flush();
  note(s->name, "naps");
  co_await weir::sleep_for(milliseconds(time));
  s->say("napped");
}

weir::task<> turn(session* s, std::string times) {
  for (std::size_t i = number(times); i > 0; --i) co_await weir::yield();
  s->say("turned");
}

weir::task<> asio_timer(session* s, std::string time) {
  co_await s->out->flush();
  asio::steady_timer timer(weir::core::here().context(), milliseconds(time));
  co_await timer.async_wait(weir::use_task);
  s->say("asio's timer");
}

weir::task<std::string> next_line(weir::reader* in) {
  const auto line = co_await in->until("\n");
  co_return line ? std::string(*line) : "(the end)";
}

// The next line if it comes in time.
weir::task<> within(session* s, std::string time) {
  co_await s->out->flush();
  std::string answer = "too late";
  try {
    answer = "in time: ";
    answer += co_await weir::within(milliseconds(time), next_line(s->in));
  } catch (const std::system_error& e) {
    if (e.code() != std::errc::timed_out) throw;
    answer = "too late";
  }
  s->say(answer);
}

weir::task<> produce(weir::channel<std::size_t>* to, std::size_t count) {
  for (std::size_t i = 1; i <= count; ++i) {
    co_await to->send(i);
    if (i % 100 == 0) co_await weir::sleep_for(1ms);
  }
  to->close();
}

weir::task<> sum_up(weir::channel<std::size_t>* from, std::size_t* total) {
  while (const auto value = co_await from->receive()) *total += *value;
}

weir::task<> pair(session* s, std::string count) {
  weir::channel<std::size_t> between(4);
  std::size_t total = 0;
  weir::scope two;
  two.spawn(sum_up(&between, &total));
  two.spawn(produce(&between, number(count)));
  co_await two.join();
  s->say("sum " + std::to_string(total));
}

weir::task<> append_after(weir::event* e, std::string* to) {
  co_await e->wait();
  *to += "after";
}

weir::task<> set_after(std::chrono::milliseconds time, weir::event* e, std::string* to) {
  co_await weir::sleep_for(time);
  *to += "before ";
  e->set();
}

weir::task<> told(session* s, std::string time) {
  weir::event e;
  std::string order;
  weir::scope two;
  two.spawn(append_after(&e, &order));
  two.spawn(set_after(milliseconds(time), &e, &order));
  co_await two.join();
  s->say(order);
}

weir::task<int> slept(std::chrono::milliseconds time, int value) {
  co_await weir::sleep_for(time);
  co_return value;
}

weir::task<> first(session* s, std::string time) {
  const auto winner = co_await weir::when_any(slept(1h, 0), slept(milliseconds(time), 1));
  s->say("first " + std::to_string(winner.index()));
}

weir::task<> all(session* s, std::string time) {
  const auto values = co_await weir::when_all(slept(milliseconds(time), 20), slept(1ms, 3));
  s->say("all " + std::to_string(std::get<0>(values) + std::get<1>(values)));
}

int doubled(int n) { return 2 * n; }

weir::task<> elsewhere(session* s, std::string value) {
  const int n = static_cast<int>(number(value));
  const int answer = co_await weir::offload([n] { return doubled(n); });
  s->say("offloaded " + std::to_string(answer));
}

// One child waits for a line that does not come while the parent cancels it.
weir::task<> cancel(session* s, std::string time) {
  co_await s->out->flush();
  weir::scope one;
  one.spawn([](weir::reader* in) -> weir::task<> {
    const std::string line = co_await next_line(in);
    throw std::logic_error("a line came: " + line);
  }(s->in));
  co_await weir::sleep_for(milliseconds(time));
  one.cancel();
  co_await one.join();
  s->say("cancelled");
}

weir::task<> large(session* s, std::string size) {
  co_await s->out->flush();
  const std::string text = numbers(number(size));
  const bool sent = co_await s->client->send(text);
  if (!sent) note(s->name, "the peer is gone");
}

weir::task<> file(session* s, std::string size) {
  co_await s->out->flush();
  const weir::unique_fd made(::memfd_create("equivalence", MFD_CLOEXEC));
  const std::string text = numbers(number(size));
  if (::write(made.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    throw std::runtime_error("memfd");
  co_await s->client->send_file(made.get(), 0, text.size());
}

// A line to another server and its answer.
weir::task<> call(session* s, std::string where) {
  co_await s->out->flush();
  weir::connection up = co_await weir::connect(weir::endpoint::parse(where));
  co_await up.send("called\n");
  weir::reader in(up);
  const std::string answer = co_await next_line(&in);
  s->say("answered " + answer);
}

// Half close, and the rest of the input is counted.
weir::task<> half(session* s, std::string) {
  co_await s->out->flush();
  s->client->shutdown_send();
  std::size_t count = 0;
  for (;;) {
    const auto seen = co_await s->in->peek(1);
    if (seen.empty()) break;
    count += seen.size();
    s->in->consume(seen.size());
  }
  note(s->name, "after half close " + std::to_string(count));
}

weir::task<> leave(session* s, std::string) {
  co_await s->out->flush();
  s->over = true;
}

weir::task<> reset(session* s, std::string) {
  co_await s->out->flush();
  s->client->abort();
}

weir::task<> fail(session* s, std::string why) {
  co_await s->out->flush();
  throw std::runtime_error(why);
}

const std::map<std::string, command, std::less<>> commands{
    {"say", say},         {"take", take},         {"peek", peek},     {"nap", nap},     {"turn", turn},
    {"asio", asio_timer}, {"within", within},     {"pair", pair},     {"told", told},   {"first", first},
    {"all", all},         {"offload", elsewhere}, {"cancel", cancel}, {"large", large}, {"file", file},
    {"call", call},       {"half", half},         {"leave", leave},   {"reset", reset}, {"fail", fail},
};

weir::task<> lines(weir::connection* client, std::string name) {
  weir::writer out(*client);
  weir::reader in(*client, out, 2'000'000);
  session s{name, client, &in, &out};
  while (const auto line = co_await in.until("\n")) {
    const std::string text(*line);
    const auto space = std::min(text.find(' '), text.size());
    const auto found = commands.find(std::string_view(text).substr(0, space));
    if (found == commands.end()) throw std::runtime_error("no command " + text);
    co_await found->second(&s, text.substr(std::min(space + 1, text.size())));
    if (s.over) co_return;
  }
}

weir::task<> echo(weir::connection* client) {
  while (auto data = co_await client->receive()) co_await client->send(data);
}

// The same with a child for each direction.
weir::task<> receive_all(weir::connection* client, weir::channel<std::string>* to) {
  while (auto data = co_await client->receive()) {
    std::string text(reinterpret_cast<const char*>(data.data()), data.size());
    co_await to->send(text);
  }
  to->close();
}

weir::task<> send_all(weir::connection* client, weir::channel<std::string>* from) {
  while (const auto text = co_await from->receive()) co_await client->send(*text);
  client->shutdown_send();
}

weir::task<> both_ways(weir::connection* client) {
  weir::channel<std::string> between(2);
  weir::scope two;
  two.spawn(receive_all(client, &between));
  two.spawn(send_all(client, &between));
  co_await two.join();
}

weir::task<> serve(weir::connection client) {
  std::string name = "----";
  try {
    std::array<char, 8> greeting{};
    const bool greeted = co_await client.read_exactly(std::as_writable_bytes(std::span(greeting)));
    if (greeted) {
      name.assign(greeting.data(), 4);
      const std::string_view protocol(greeting.data() + 4, 4);
      if (protocol == "echo") co_await echo(&client);
      if (protocol == "both") co_await both_ways(&client);
      if (protocol == "line") co_await lines(&client, name);
    }
    note(name, word(client.end()));
  } catch (const std::system_error& e) {
    note(name, "error: " + e.code().message());
    throw;
  } catch (const std::exception& e) {
    note(name, std::string("error: ") + e.what());
    throw;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const weir::program about{
      .summary = "the same answers under every model",
      .options = "  --notes FILE          where the ends of connections are written",
      .take = [](std::span<const std::string> rest) -> std::size_t {
        if (rest.size() < 2 || rest[0] != "--notes") return 0;
        notes = rest[1];
        return 2;
      },
  };
  return weir::run(argc, argv, serve, about);
}
