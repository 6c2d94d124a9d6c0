#include "weir/http/access_log.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <thread>

#include "talk.hpp"
#include "weir/base/detail/line_file.hpp"
#include "weir/core/sleep.hpp"

using namespace weir;
using Catch::Matchers::Contains;
using Catch::Matchers::Equals;
using http::access_format;
using http::access_log;
using test::get;
using test::talk;

namespace {

// A site with an access log, and what the log has. Times, and ids that were made, are replaced.
class logged {
 public:
  explicit logged(access_format format = access_format::combined, std::uint32_t sample = 1) {
    test::add_routes(site);
    site.routes.get("/fails", [](http::exchange) { throw std::runtime_error("as the test wants"); });
    site.routes.get("/id", [](http::exchange x) { x.send(200, "text/plain", x.request_id()); });
    site.routes.get("/waits", [](http::exchange x) -> task<> {
      co_await sleep_for(std::chrono::hours(1));
      x.refuse(500);
    });
    site.routes.get("/upgrade", [](http::exchange x) -> task<> {
      const auto made = co_await x.upgrade("other");
      static_cast<void>(made);
    });
    site.log = std::make_shared<access_log>(access_log::options{path.string(), format, sample});
  }
  logged(const logged&) = delete;
  logged& operator=(const logged&) = delete;
  ~logged() { std::filesystem::remove(path); }

  std::string lines() {
    log::flush_line_files();
    std::ifstream in(path);
    std::string all{std::istreambuf_iterator<char>(in), {}};
    all = std::regex_replace(all, std::regex(R"(\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\])"),
                             "[T]");
    all = std::regex_replace(all, std::regex(R"("time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")"),
                             R"("time":"T")");
    all = std::regex_replace(all, std::regex(R"("id":"[0-9a-f]{32}")"), R"("id":"I")");
    return std::regex_replace(all, std::regex(R"("duration":\d+\.\d{6})"), R"("duration":D)");
  }

  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("weir-access-" + std::to_string(::getpid()));
  http::site site;
};

}  // namespace

TEST_CASE("each request has a line, as nginx and Apache write it") {
  logged l;
  talk t(l.site);
  t.say(get);
  t.say(
      "POST /echo HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nReferer: http://b/\r\nUser-Agent: curl/8 "
      "(x)\r\n"
      "Content-Length: 2\r\n\r\nhi");
  t.say("GET /fails HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK_THAT(l.lines(), Equals("unix - - [T] \"GET /plain HTTP/1.1\" 200 5 \"-\" \"-\"\n"
                               "unix - - [T] \"POST /echo HTTP/1.0\" 200 2 \"http://b/\" \"curl/8 (x)\"\n"
                               "unix - - [T] \"GET /fails HTTP/1.1\" 500 22 \"-\" \"-\"\n"));
}

TEST_CASE("what the library refuses has a line, with what had come of it") {
  logged l;
  l.site.limits.head = 300;
  l.site.limits.body = 10;
  talk(l.site).say("GET /a\x1b[31m \"\\ HTTP/1.1\r\nHost: a\r\n\r\n");
  talk(l.site).say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n");
  talk(l.site).say("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(400, 'x') + "\r\n\r\n");
  talk slow(l.site);
  slow.say("GET /slow HTTP/1.1\r\nHo");
  slow.wait(std::chrono::seconds(11));
  CHECK_THAT(l.lines(), Equals("unix - - [T] \"GET /a\\x1b[31m \\x22\\x5c HTTP/1.1\" 400 12 \"-\" \"-\"\n"
                               "unix - - [T] \"POST /echo HTTP/1.1\" 413 18 \"-\" \"-\"\n"
                               "unix - - [T] \"GET / HTTP/1.1\" 431 32 \"-\" \"-\"\n"
                               "unix - - [T] \"GET /slow HTTP/1.1\" 408 16 \"-\" \"-\"\n"));
}

TEST_CASE("a connection that is upgraded has its line when its handler ends, and one that is cut as well") {
  logged l;
  talk(l.site).say("GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n");
  CHECK_THAT(l.lines(), Equals("unix - - [T] \"GET /upgrade HTTP/1.1\" 101 0 \"-\" \"-\"\n"));
  talk(l.site).say("GET /waits HTTP/1.1\r\nHost: a\r\n\r\n");  // its core ends with it
  CHECK_THAT(l.lines(), Contains("\"GET /waits HTTP/1.1\" 000 0"));
}

TEST_CASE("quotes and bytes that are no text cannot break out of a field, and long fields are cut") {
  logged l;
  talk t(l.site);
  t.say("GET /plain HTTP/1.1\r\nHost: a\r\nUser-Agent: a\"b\\c\xc3\xa9\xff\r\nReferer: " +
        std::string(3000, 'r') + "\r\n\r\n");
  t.say("GET /" + std::string(9000, 'p') + " HTTP/1.1\r\nHost: a\r\nUser-Agent: " + std::string(600, '"') +
        "\r\n\r\n");
  const std::string all = l.lines();
  CHECK_THAT(all,
             Contains("\"a\\x22b\\x5cc\\xc3\\xa9\\xff\"\n") && Contains(std::string(765, 'r') + "...\""));
  CHECK_THAT(all, Contains("\"GET /" + std::string(2044, 'p') + "... HTTP/1.1\" 404"));
  CHECK(std::count(all.begin(), all.end(), '\n') == 2);
}

TEST_CASE("lines in JSON have all that there is, and what is not UTF-8 becomes U+FFFD") {
  logged l(access_format::json);
  talk t(l.site);
  t.say(
      "GET /plain?x HTTP/1.1\r\nHost: a\r\nReferer: r\r\nUser-Agent: "
      "a\"\\\xc3\xa9\xff\xed\xa0\x80\xf0\x9f\x98\x80\r\n\r\n");
  t.say("what?\r\n\r\n");
  CHECK_THAT(
      l.lines(),
      Equals(
          R"({"time":"T","id":"I","peer":"unix","port":0,"method":"GET","target":"/plain?x","version":"HTTP/1.1",)"
          R"("status":200,"bytes":5,"duration":D,"referer":"r","agent":"a\"\\é\ufffd\ufffd\ufffd\ufffd😀"})"
          "\n"
          R"({"time":"T","id":"I","peer":"unix","port":0,"method":"","target":"","version":"","line":"what?",)"
          R"("status":400,"bytes":12,"duration":D,"referer":"","agent":""})"
          "\n"));
}

TEST_CASE("of many requests one in so many has a line, and each that has failed") {
  logged l(access_format::combined, 10);
  talk t(l.site);
  for (int i = 0; i < 100; ++i) {
    t.say(get);
    if (i % 20 == 0) t.say("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  const std::string all = l.lines();
  CHECK(std::count(all.begin(), all.end(), '\n') == 15);
}

TEST_CASE("threads that are no loops, and several logs, are told apart") {
  logged l;
  access_log other({.file = l.path.string() + ".2"});
  const http::request none{};
  const auto write = [&](access_log& to) { to.write({none, "x", {}, 200, 1, {}, {}}); };
  std::thread([&] { write(other), write(*l.site.log); }).join();
  for (int core = 0; core < 3; ++core) {  // of one thread, one after the other
    talk t(l.site);
    t.say(get);
    write(other);
  }
  const std::string all = l.lines();
  CHECK(std::count(all.begin(), all.end(), '\n') == 4);
  std::ifstream in(l.path.string() + ".2");
  CHECK(std::count(std::istreambuf_iterator<char>(in), {}, '\n') == 4);
  std::filesystem::remove(l.path.string() + ".2");
}

TEST_CASE("a request has an id of its own, or that of its client where that is believed") {
  logged l(access_format::json);
  const std::string asks = "GET /id HTTP/1.1\r\nHost: a\r\nX-Request-Id: client-1\r\n\r\n";
  const auto body = [](const std::string& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); };
  talk made(l.site);
  const std::string first = body(made.say(asks));
  CHECK(first.size() == 32);
  CHECK(body(made.say(asks)) != first);
  l.site.request_ids = {.from_client = true, .in_answer = true};
  talk taken(l.site);
  const std::string answer = taken.say(asks);
  CHECK(body(answer) == "client-1");
  CHECK_THAT(answer, Contains("\r\nX-Request-Id: client-1\r\n"));
  CHECK(body(taken.say("GET /id HTTP/1.1\r\nHost: a\r\nX-Request-Id: a b\r\n\r\n")).size() == 32);
  CHECK_THAT(taken.say(get), Contains("\r\nX-Request-Id: "));  // of a fixed response
  CHECK_THAT(taken.say("broken\r\n\r\n"), Contains("400") && Contains("\r\nX-Request-Id: "));
  CHECK_THAT(l.lines(), Contains("\"id\":\"client-1\""));
}
