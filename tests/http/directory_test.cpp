#include "weir/http/directory.hpp"

#include <sys/stat.h>

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>

#include "http/talk.hpp"
#include "sockets.hpp"

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

struct files : tree {
  std::string get(const std::string& path, const std::string& headers = "") {
    return t.say("GET " + path + " HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n");
  }

  weir::http::directory below{root().string()};
  talk t{site_of(below)};

 private:
  static weir::http::site site_of(const weir::http::directory& below) {
    weir::http::site s;
    s.routes.get("/*", [&below](exchange x) { return below.send(x); });
    return s;
  }
};

std::string header_of(const std::string& answer, const std::string& name) {
  const std::size_t at = answer.find("\r\n" + name + ": ");
  if (at == answer.npos) return {};
  const std::size_t from = at + name.size() + 4;
  return answer.substr(from, answer.find("\r\n", from) - from);
}

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
    const std::string none = f.get(name, "Range: bytes=100000-\r\n");
    CHECK(statuses(none) == std::vector<int>{416});
    CHECK(header_of(none, "Content-Range").starts_with("bytes */"));
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
  f.write("root/new", std::string(20000, 'N'));
  fs::rename(f.root() / "new", f.root() / "large.bin");
  {
    const no_descriptors shortage;
    f.t.wait(2s);
    CHECK(f.get("/large.bin").ends_with(fmt::format("\r\n\r\n{:L>100000}", "")));
  }
  f.t.wait(2s);
  CHECK(f.get("/large.bin").ends_with(fmt::format("\r\n\r\n{:N>20000}", "")));
}

TEST_CASE("no more files are kept than there may be") {
  files f;
  for (int i = 0; i < 600; ++i) f.write("root/n" + std::to_string(i), "n");
  const auto open_files = [] { return std::distance(fs::directory_iterator("/proc/self/fd"), {}); };
  const auto before = open_files();
  for (int i = 0; i < 600; ++i) REQUIRE(statuses(f.get("/n" + std::to_string(i))) == std::vector<int>{200});
  CHECK(open_files() <= before + static_cast<long>(weir::http::directory::most_kept));
}

TEST_CASE("a root that is no directory is refused") {
  CHECK_THROWS_WITH(weir::http::directory("/no/such/place"), Catch::Matchers::Contains("/no/such/place"));
}
