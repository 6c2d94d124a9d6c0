#include "session.hpp"

#include <catch2/catch.hpp>

#include <random>
#include <string>
#include <vector>

using namespace cache;

namespace {

// A connection without a network: bytes in, bytes out.
struct talk {
  explicit talk(service& in) : session(in, out) {}

  // Gives the session `text`; what it replied until it waits for more.
  std::string operator()(std::string_view text) {
    unread += text;
    for (;;) {
      std::string_view left = unread;
      const need next = session.work(left, now);
      unread.erase(0, unread.size() - left.size());
      most_pending = std::max(most_pending, out.pending());
      said += out.text();
      out.clear();
      switch (next.what) {
        case need::kind::input: return std::exchange(said, {});
        case need::kind::flush: break;
        case need::kind::upload: {
          const auto space = session.upload_space();
          const std::size_t count = std::min(space.size(), unread.size());
          if (count == 0) return std::exchange(said, {});
          unread.copy(reinterpret_cast<char*>(space.data()), count);
          unread.erase(0, count);
          session.uploaded(count);
          break;
        }
        case need::kind::download:
          said += session.download();
          said += session::end_of_line;
          session.downloaded();
          break;
        case need::kind::end: ended = true; return std::exchange(said, {});
      }
    }
  }

  instant now{1'000'000'000, 0};
  weir::write_buffer out;
  cache::session session;
  std::string unread;
  std::string said;
  std::size_t most_pending = 0;
  bool ended = false;
};

std::string shown(const std::string& key, const std::string& value) {
  return "VALUE " + key + " 0 " + std::to_string(value.size()) + "\r\n" + value + "\r\n";
}

const std::string conversation = [] {
  const std::string big(20'000, 'b');
  return "set k 0 0 5\r\nhello\r\nget k\r\nset big 0 0 20000\r\n" + big +
         "\r\nget k big none k\r\nappend k 0 0 1\r\n!\r\ngets k\r\nbad\r\n\r\nset k 0 0 2\r\nabc\r\nset n 0 "
         "0 2 noreply\r\n"
         "41\r\nincr n 1\r\nset huge 0 0 1100000\r\n" +
         std::string(1'100'000, 'h') + "\r\nget huge\r\ndelete k\r\nappend big 0 0 20000\r\n" + big +
         "\r\ngat 0 n\r\nset big 0 0 20000\r\n" + big + "xxget n\r\ntouch n 0\r\nverbosity 1\r\nquit\r\n";
}();

const std::string replies = [] {
  const std::string big(20'000, 'b');
  return "STORED\r\n" + shown("k", "hello") + "END\r\nSTORED\r\n" + shown("k", "hello") + shown("big", big) +
         shown("k", "hello") +
         "END\r\nSTORED\r\nVALUE k 0 6 3\r\nhello!\r\nEND\r\nERROR\r\nERROR\r\nCLIENT_ERROR bad data "
         "chunk\r\nERROR\r\n42\r\n"
         "SERVER_ERROR object too large for cache\r\nEND\r\nDELETED\r\nSTORED\r\n" +
         shown("n", "42") + "END\r\nCLIENT_ERROR bad data chunk\r\n" + shown("n", "42") +
         "END\r\nTOUCHED\r\nOK\r\n";
}();

// One shard per store, so that versions are the same in each run.
service_settings of_one_shard() { return {.store = {.shards = 1}}; }

}  // namespace

TEST_CASE("a conversation is the same whole, byte by byte and in random pieces") {
  const auto in_pieces = [&](auto next_size) {
    service s(of_one_shard());
    talk t(s);
    std::string said;
    for (std::size_t at = 0; at < conversation.size();) {
      const std::size_t size = std::min<std::size_t>(next_size(), conversation.size() - at);
      said += t(std::string_view(conversation).substr(at, size));
      at += size;
    }
    CHECK(t.ended);
    CHECK(t.unread.empty());
    return said == replies ? "as expected" : said;
  };
  CHECK(in_pieces([] { return conversation.size(); }) == "as expected");
  CHECK(in_pieces([] { return std::size_t{1}; }) == "as expected");
  for (unsigned seed = 1; seed <= 10; ++seed) {
    std::mt19937 random(seed);
    CHECK(in_pieces([&] { return std::size_t{1} + random() % (seed * 700); }) == "as expected");
  }
}

TEST_CASE("pipelined requests are answered in order, within bounded memory") {
  service s(of_one_shard());
  talk t(s);
  const std::string value(1'000, 'v');
  CHECK(t("set k 0 0 1000\r\n" + value + "\r\n") == "STORED\r\n");
  std::string requests = "set n 0 0 1\r\n0\r\n";
  std::string expected = "STORED\r\n";
  for (int i = 1; i <= 10'000; ++i) {
    requests += "incr n 1\r\nget k\r\n";
    expected += std::to_string(i) + "\r\n" + shown("k", value) + "END\r\n";
  }
  CHECK(t(requests) == expected);
  CHECK(t.most_pending <= session::most_pending + 2'000);
}

TEST_CASE("a get of very many keys is answered in parts") {
  service s(of_one_shard());
  talk t(s);
  const std::string value(5'000, 'v');
  t("set k 0 0 5000\r\n" + value + "\r\n");
  std::string request = "get";
  std::string expected;
  for (int i = 0; i < 1'000; ++i) {
    request += " k";
    expected += shown("k", value);
  }
  CHECK(t(request + "\r\nversion\r\n") ==
        expected + "END\r\nVERSION " + std::string(protocol_version) + "\r\n");
  CHECK(t.most_pending <= session::most_pending + 6'000);
}

TEST_CASE("a size that lies costs nothing and loses the old value") {
  service s(of_one_shard());
  talk t(s);
  t("set k 0 0 1\r\nx\r\n");
  const std::size_t before = s.items.figures().memory;
  CHECK(t("set k 0 0 2147483645\r\nabc\r\n") == "SERVER_ERROR object too large for cache\r\n");
  CHECK(s.items.figures().memory <= before);
  CHECK(t("get k\r\n").empty());  // swallowed: two gigabytes were promised
  talk other(s);
  CHECK(other("get k\r\n") == "END\r\n");
  CHECK(other("add k 0 0 2147483648\r\n") == "CLIENT_ERROR bad command line format\r\n");
}

TEST_CASE("a line that does not end ends the session, unless it is a get") {
  service s(of_one_shard());
  talk t(s);
  CHECK(t(std::string(2'049, 'x')).empty());
  CHECK(t.ended);
  talk whole(s);
  CHECK(whole(std::string(2'049, 'x') + "\r\nversion\r\n").empty());  // no other than in pieces
  CHECK(whole.ended);
  talk get(s);
  std::string keys = "get";
  for (int i = 0; i < 10'000; ++i) keys += " key" + std::to_string(i);
  CHECK(get(keys).empty());
  CHECK_FALSE(get.ended);
  CHECK(get("\r\n") == "END\r\n");
  talk endless(s);
  endless("get " + std::string(session::longest_get, 'x'));
  CHECK(endless.ended);
}

TEST_CASE("a client that leaves amid a value leaves nothing behind") {
  service s(of_one_shard());
  {
    talk t(s);
    t("set k 0 0 100000\r\n" + std::string(50'000, 'v'));
    CHECK(s.items.figures().memory >= 100'000);
    CHECK(s.clients.connections() == 1);
  }
  CHECK(s.items.figures().memory == 0);
  CHECK(s.clients.connections() == 0);
}

TEST_CASE("a client that leaves amid its answer lets the value go") {
  service s(of_one_shard());
  const std::string value(100'000, 'v');
  {
    talk t(s);
    t("set k 0 0 100000\r\n" + value + "\r\n");
    weir::write_buffer out;
    session reading(s, out);
    std::string_view request = "get k\r\n";
    CHECK(reading.work(request, t.now).what == need::kind::download);
    t("delete k\r\n");
    CHECK(reading.download() == value);
    CHECK(s.items.figures().memory >= value.size());
  }
  CHECK(s.items.figures().memory == 0);
}

TEST_CASE("what is not allowed says so") {
  int stops = 0;
  service_settings settings = of_one_shard();
  {
    service s(settings);
    talk t(s);
    CHECK(t("shutdown\r\nflush_all\r\n") == "ERROR: shutdown not enabled\r\nOK\r\n");
  }
  settings.allows_flush = false;
  settings.has_versions = false;
  settings.shutdown = [&] { ++stops; };
  service s(settings);
  talk t(s);
  CHECK(t("flush_all\r\n") == "CLIENT_ERROR flush_all not allowed\r\n");
  CHECK(t("set k 0 0 1\r\nx\r\ngets k\r\n") == "STORED\r\nVALUE k 0 1 0\r\nx\r\nEND\r\n");
  CHECK(t("cas k 0 0 1 1\r\ny\r\n") == "EXISTS\r\n");
  CHECK(t("shutdown\r\n").empty());
  CHECK(t.ended);
  CHECK(stops == 1);
}

TEST_CASE("what is counted is shown, and can be counted anew") {
  service s(of_one_shard());
  talk t(s);
  t("set k 0 0 1\r\nx\r\nget k none\r\nincr k 1\r\ndelete k\r\n");
  const std::string shown_now = t("stats\r\n");
  for (const std::string_view line : {"STAT cmd_get 2\r\n", "STAT get_hits 1\r\n", "STAT get_misses 1\r\n",
                                      "STAT cmd_set 1\r\n", "STAT delete_hits 1\r\n", "STAT curr_items 0\r\n",
                                      "STAT curr_connections 1\r\n", "STAT limit_maxbytes 67108864\r\n"})
    CHECK(shown_now.find(line) != std::string::npos);
  CHECK(shown_now.ends_with("END\r\n"));
  CHECK(t("stats reset\r\n") == "RESET\r\n");
  CHECK(t("stats\r\n").find("STAT cmd_get 0\r\n") != std::string::npos);
  CHECK(t("stats settings\r\n").find("STAT item_size_max 1048576\r\n") != std::string::npos);
  CHECK(t("stats items\r\n") == "END\r\n");
  CHECK(t("stats slabs\r\n") == "STAT active_slabs 0\r\nSTAT total_malloced 0\r\nEND\r\n");
  CHECK(t("stats nonsense\r\n") == "ERROR\r\n");
}
