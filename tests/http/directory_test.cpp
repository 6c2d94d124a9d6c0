#include "weir/http/directory.hpp"

#include <sys/stat.h>

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <tuple>

#include "http/talk.hpp"
#include "sockets.hpp"
#include "weir/base/detail/idle_descriptors.hpp"

using namespace test;
namespace fs = std::filesystem;

namespace {

// A directory with a secret beside it.
class tree {
 public:
  tree() {
    char name[] = "/tmp/weir-directory-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    top_ = name;
    fs::create_directories(root() / "sub/deep");
    write("root/index.html", "the index");
    write("root/small.txt", "small");
    write("root/large.bin", std::string(100000, 'L'));
    write("root/sub/index.html", "below");
    write("root/with.css", std::string(1000, 'c'));
    write("root/with.css.gz", "packed");
    write("secret", "SECRET");
    fs::create_symlink("../secret", root() / "out");
    fs::create_symlink(top_ / "secret", root() / "absolute");
    fs::create_symlink("..", root() / "up");
    fs::create_symlink("small.txt", root() / "inside");
    REQUIRE(::mkfifo((root() / "pipe").c_str(), 0600) == 0);
  }
  tree(const tree&) = delete;
  tree& operator=(const tree&) = delete;
  ~tree() { fs::remove_all(top_); }

  [[nodiscard]] fs::path root() const { return top_ / "root"; }
  void write(const std::string& name, const std::string& text) const { std::ofstream(top_ / name) << text; }

 private:
  fs::path top_;
};

weir::http::site site_of(const weir::http::directory& below) {
  weir::http::site s;
  s.routes.get("/*", [&below](exchange x) { return below.send(x); });
  return s;
}

struct files : tree {
  std::string get(const std::string& path, const std::string& headers = "") {
    return t.say("GET " + path + " HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n");
  }

  weir::http::directory below{root().string()};
  talk t{site_of(below)};
};

auto open_files() { return std::distance(fs::directory_iterator("/proc/self/fd"), {}); }

std::string header_of(const std::string& answer, const std::string& name) {
  const std::size_t at = answer.find("\r\n" + name + ": ");
  if (at == answer.npos) return {};
  const std::size_t from = at + name.size() + 4;
  return answer.substr(from, answer.find("\r\n", from) - from);
}

// Until its end this process may open no more than that.
class descriptor_limit {
 public:
  explicit descriptor_limit(::rlim_t most) {
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    const ::rlimit few{most, before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  }
  descriptor_limit(const descriptor_limit&) = delete;
  descriptor_limit& operator=(const descriptor_limit&) = delete;
  ~descriptor_limit() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  ::rlimit before_{};
};

}  // namespace

TEST_CASE("files are served with their types, and index.html for its directory") {
  files f;
  const std::string small = f.get("/small.txt");
  CHECK(small.ends_with("\r\n\r\nsmall"));
  CHECK(header_of(small, "Content-Type") == "text/plain; charset=utf-8");
  CHECK(f.get("/").ends_with("\r\n\r\nthe index"));
  CHECK(f.get("/sub/").ends_with("\r\n\r\nbelow"));
  CHECK(f.get("/large.bin").ends_with(fmt::format("\r\n\r\n{:L>100000}", "")));
  CHECK(f.get("/inside").ends_with("\r\n\r\nsmall"));  // a link that stays below the root
  CHECK(f.get("/sm%61ll.txt").ends_with("\r\n\r\nsmall"));
}

TEST_CASE("a directory without its slash is redirected, on this host") {
  files f;
  CHECK(header_of(f.get("/sub?a=b"), "Location") == "/sub/?a=b");
  CHECK(header_of(f.get("//sub"), "Location") == "/sub/");
}

TEST_CASE("a missing name, a special file and a path that leads out are not found") {
  files f;
  for (const char* path : {"/nothing", "/small.txt/", "/sub/deep/", "/pipe", "/out", "/absolute",
                           "/up/secret", "/../secret", "/sub/../../secret", "/%2e%2e/secret", "/..", "/up"})
    CHECK(statuses(f.get(path)) == std::vector<int>{404});
  CHECK(statuses(f.get("/%00")) == std::vector<int>{400});
  CHECK(f.t.all().find("SECRET") == std::string::npos);
}

TEST_CASE("a client that has the current version gets 304") {
  files f;
  const std::string first = f.get("/small.txt");
  const std::string tag = header_of(first, "ETag");
  CHECK(tag.starts_with("\""));
  const std::string same = f.get("/small.txt", "If-None-Match: " + tag + "\r\n");
  CHECK(statuses(same) == std::vector<int>{304});
  CHECK(same.ends_with("\r\n\r\n"));
  CHECK(header_of(same, "ETag") == tag);
  CHECK(statuses(f.get("/small.txt", "If-None-Match: \"other\"\r\n")) == std::vector<int>{200});
  CHECK(statuses(f.get("/small.txt", "If-Modified-Since: " + header_of(first, "Last-Modified") + "\r\n")) ==
        std::vector<int>{304});
}

TEST_CASE("a part of a file is a part") {
  files f;
  for (const char* name : {"/small.txt", "/large.bin"}) {
    const std::string part = f.get(name, "Range: bytes=1-3\r\n");
    CHECK(statuses(part) == std::vector<int>{206});
    CHECK(header_of(part, "Content-Length") == "3");
    CHECK(header_of(part, "Content-Range").starts_with("bytes 1-3/"));
  }
  CHECK(f.get("/small.txt", "Range: bytes=-2\r\n").ends_with("\r\n\r\nll"));
  CHECK(statuses(f.get("/small.txt", "Range: bytes=1-3\r\nIf-Range: \"old\"\r\n")) == std::vector<int>{200});
}

TEST_CASE("a client that accepts gzip gets the compressed file, and every client is told that it varies") {
  files f;
  const std::string packed = f.get("/with.css", "Accept-Encoding: gzip\r\n");
  CHECK(packed.ends_with("\r\n\r\npacked"));
  CHECK(header_of(packed, "Content-Encoding") == "gzip");
  CHECK(header_of(packed, "Content-Type") == "text/css; charset=utf-8");
  const std::string plain = f.get("/with.css");
  CHECK(plain.ends_with(std::string(1000, 'c')));
  CHECK(header_of(plain, "Vary") == "Accept-Encoding");
  CHECK(header_of(plain, "ETag") != header_of(packed, "ETag"));
}

TEST_CASE("a compressed file that is older than the file is not sent") {
  files f;
  fs::last_write_time(f.root() / "with.css.gz", fs::file_time_type::clock::now() - std::chrono::hours(1));
  CHECK(f.get("/with.css", "Accept-Encoding: gzip\r\n").ends_with(std::string(1000, 'c')));
}

TEST_CASE("a file that changes is seen after a second") {
  files f;
  CHECK(f.get("/small.txt").ends_with("\r\n\r\nsmall"));
  f.write("root/new", "another");
  fs::rename(f.root() / "new", f.root() / "small.txt");
  CHECK(f.get("/small.txt").ends_with("\r\n\r\nsmall"));
  f.t.wait(std::chrono::seconds(1));
  CHECK(f.get("/small.txt").ends_with("\r\n\r\nanother"));
  fs::remove(f.root() / "small.txt");
  f.t.wait(std::chrono::seconds(1));
  CHECK(statuses(f.get("/small.txt")) == std::vector<int>{404});
}

TEST_CASE("files are served, one at a time, when connections have taken every descriptor") {
  files f;
  const no_descriptors shortage;
  for (int i = 0; i < 3; ++i) {
    CHECK(f.get("/large.bin").ends_with(fmt::format("\r\n\r\n{:L>100000}", "")));
    CHECK(f.get("/small.txt").ends_with("\r\n\r\nsmall"));
    CHECK(f.get("/with.css").ends_with(std::string(1000, 'c')));
    CHECK(statuses(f.get("/nothing")) == std::vector<int>{404});
    f.t.wait(2s);
  }
}

TEST_CASE("a file that cannot be checked for want of a descriptor is served as it was, and checked later") {
  files f;
  CHECK(f.get("/large.bin").ends_with("L"));
  fs::create_hard_link(f.root() / "large.bin",
                       f.root() / "old");  // or it would be closed, and its descriptor used
  f.write("root/new", std::string(20000, 'N'));
  fs::rename(f.root() / "new", f.root() / "large.bin");
  {
    const no_descriptors shortage;
    f.t.wait(1s);
    CHECK(f.get("/large.bin").ends_with(fmt::format("\r\n\r\n{:L>100000}", "")));
  }
  f.t.wait(2s);
  CHECK(f.get("/large.bin").ends_with(fmt::format("\r\n\r\n{:N>20000}", "")));
}

TEST_CASE("no more files are kept than there may be") {
  files f;
  for (int i = 0; i < 600; ++i) f.write("root/n" + std::to_string(i), "n");
  const auto before = open_files();
  for (int i = 0; i < 600; ++i) REQUIRE(statuses(f.get("/n" + std::to_string(i))) == std::vector<int>{200});
  CHECK(open_files() <= before + static_cast<long>(weir::http::directory::most_kept));
}

TEST_CASE("open files are at most a share of what the process may open") {
  files f;
  for (int i = 0; i < 100; ++i) f.write("root/n" + std::to_string(i), std::string(20000, 'n'));
  const descriptor_limit few(256);
  const auto before = open_files();
  for (int i = 0; i < 100; ++i) REQUIRE(statuses(f.get("/n" + std::to_string(i))) == std::vector<int>{200});
  CHECK(open_files() > before);
  CHECK(open_files() <= before + 256 / 8);
}

TEST_CASE("a file that nobody asks for is closed, and then nothing looks at the clock") {
  files f;
  const auto before = open_files();
  CHECK(f.get("/large.bin").ends_with("L"));
  CHECK(open_files() > before);
  for (int i = 0; i < 10; ++i) {  // it is asked for
    f.t.wait(1s);
    f.get("/large.bin");
  }
  CHECK(open_files() > before);
  f.t.wait(weir::http::directory::kept_unused + 1s);
  CHECK(open_files() == before);
  f.t.wait(weir::http::directory::kept_unused + 2s);
  CHECK_FALSE(f.t.core()->timers().next());
}

TEST_CASE("a file that was deleted is closed within a second") {
  files f;
  const auto before = open_files();
  CHECK(f.get("/large.bin").ends_with("L"));
  CHECK(open_files() > before);
  fs::remove(f.root() / "large.bin");
  f.t.wait(1s);
  CHECK(open_files() == before);
}

TEST_CASE("whoever is out of descriptors gets those that are kept") {
  files f;
  const auto before = open_files();
  CHECK(f.get("/large.bin").ends_with("L"));
  CHECK(open_files() > before);
  weir::detail::release_idle_descriptors();
  f.t.core().settle();
  CHECK(open_files() == before);
  CHECK(f.get("/large.bin").ends_with("L"));
}

TEST_CASE("a release that is switched by a rename is served after a second") {
  tree all;
  fs::create_directories(all.root() / "../one");
  fs::create_directories(all.root() / "../two");
  all.write("one/page.txt", "one");
  all.write("two/page.txt", "two");
  all.write("two/new.txt", "new");
  const fs::path current = all.root() / "../current";
  fs::create_directory_symlink("one", current);
  weir::http::directory below(current.string());
  talk t(site_of(below));
  const auto asked_for = [&](const std::string& path) {
    return t.say("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n");
  };
  CHECK(asked_for("/page.txt").ends_with("\r\n\r\none"));
  fs::create_directory_symlink("two", all.root() / "../next");
  fs::rename(all.root() / "../next", current);
  t.wait(1s);
  CHECK(asked_for("/page.txt").ends_with("\r\n\r\ntwo"));
  CHECK(asked_for("/new.txt").ends_with("\r\n\r\nnew"));
  CHECK(statuses(asked_for("/../secret")) == std::vector<int>{404});
}

TEST_CASE("a directory that is made anew in the place of the root is served after a second") {
  files f;
  CHECK(f.get("/small.txt").ends_with("\r\n\r\nsmall"));
  fs::remove_all(f.root());
  f.t.wait(1s);
  CHECK(statuses(f.get("/small.txt")) == std::vector<int>{404});
  fs::create_directories(f.root());
  f.write("root/small.txt", "again");
  fs::create_symlink("../secret", f.root() / "out");
  f.t.wait(1s);
  CHECK(f.get("/small.txt").ends_with("\r\n\r\nagain"));
  CHECK(statuses(f.get("/out")) == std::vector<int>{404});
}

TEST_CASE("what refuses has no header of the file") {
  files f;
  const std::string tag = header_of(f.get("/with.css"), "ETag");
  for (const auto& [path, headers, status] : std::initializer_list<std::tuple<const char*, const char*, int>>{
           {"/with.css", "Range: bytes=5000-\r\n", 416},
           {"/large.bin", "Range: bytes=200000-\r\n", 416},
           {"/with.css", "If-Match: \"x\"\r\n", 412},
           {"/with.css", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 412},
           {"/nothing", "", 404},
           {"/%00", "", 400},
           {"/sub", "", 301}}) {
    const std::string answer = f.get(path, "Accept-Encoding: gzip\r\n" + std::string(headers));
    INFO(answer);
    CHECK(statuses(answer) == std::vector<int>{status});
    for (const char* name : {"Content-Encoding", "ETag", "Last-Modified", "Accept-Ranges", "Vary"})
      CHECK(header_of(answer, name).empty());
    CHECK(header_of(answer, "Content-Range").empty() == (status != 416));
    CHECK(header_of(answer, "Content-Type") == "text/plain");
  }
  CHECK(header_of(f.get("/large.bin", "Range: bytes=200000-\r\n"), "Content-Range") == "bytes */100000");
}

TEST_CASE("several parts of a file come as one message") {
  files f;
  std::string bytes(100000, ' ');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>('a' + i % 26);
  f.write("root/small.txt", bytes.substr(0, 100));
  f.write("root/large.bin", bytes);
  for (const auto& [name, size] : {std::pair("/small.txt", 100), std::pair("/large.bin", 100000)}) {
    const std::string answer = f.get(name, "Range: bytes=0-1,10-59,-3\r\n");
    CHECK(statuses(answer) == std::vector<int>{206});
    const std::string type = header_of(answer, "Content-Type");
    REQUIRE(type.starts_with("multipart/byteranges; boundary="));
    const std::string boundary = "\r\n--" + type.substr(type.find('=') + 1);
    const std::string body = answer.substr(answer.find("\r\n\r\n") + 4);
    CHECK(header_of(answer, "Content-Length") == std::to_string(body.size()));
    const char* const of = size == 100 ? "text/plain; charset=utf-8" : "application/octet-stream";
    std::string wanted;
    for (const auto& [first, count] : {std::pair(0, 2), std::pair(10, 50), std::pair(size - 3, 3)})
      wanted += fmt::format("{}\r\nContent-Type: {}\r\nContent-Range: bytes {}-{}/{}\r\n\r\n{}", boundary, of,
                            first, first + count - 1, size,
                            bytes.substr(static_cast<std::size_t>(first), static_cast<std::size_t>(count)));
    CHECK(body == wanted + boundary + "--\r\n");
  }
  CHECK(f.get("/large.bin", "Range: bytes=0-20000,30000-60000\r\n").size() > 50000);
  CHECK(f.get("/small.txt").ends_with(bytes.substr(0, 100)));  // and the connection goes on
}

TEST_CASE("two codings of a file have two tags, even of one size and one time") {
  files f;
  f.write("root/with.css.gz", std::string(1000, 'g'));
  const auto when = fs::last_write_time(f.root() / "with.css");
  fs::last_write_time(f.root() / "with.css.gz", when);
  CHECK(header_of(f.get("/with.css", "Accept-Encoding: gzip\r\n"), "ETag") !=
        header_of(f.get("/with.css"), "ETag"));
}

TEST_CASE("an empty file has no parts") {
  files f;
  f.write("root/empty", "");
  CHECK(statuses(f.get("/empty", "Range: bytes=0-9\r\n")) == std::vector<int>{200});
  CHECK(statuses(f.get("/empty", "Range: bytes=-5\r\n")) == std::vector<int>{200});
}

TEST_CASE("a root that is no directory is refused") {
  CHECK_THROWS_WITH(weir::http::directory("/no/such/place"), Catch::Matchers::Contains("/no/such/place"));
}
