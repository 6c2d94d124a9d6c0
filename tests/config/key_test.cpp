#include "weir/config/key.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "weir/base/unique_fd.hpp"
#include "weir/config/detail/command_line.hpp"

using namespace weir;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

// A program with a key of each kind.
struct files_program {
  std::string root = "/srv";
  bool hidden = false;
  std::uint32_t depth = 3;
  std::int64_t offset = 0;
  std::uint64_t cache = 65536;
  std::chrono::milliseconds wait{1500};
  program about;

  files_program() {
    about.keys = {
        key("files.root", root, "the directory")
            .with_flag("--root", "DIR")
            .checked_by([](const std::string& text) {
              return text == "/bad" ? std::string("\"/bad\" is no directory") : std::string();
            }),
        key("files.hidden", hidden, "serve hidden files"),
        key("files.depth", depth, 1, 100, "folders", "how deep"),
        key("other.offset", offset, -5, 5, "", "where to start"),
        key::size("files.cache", cache, 0, 1 << 20, "kept in memory"),
        key("files.wait", wait, 0ms, 60s, "how long"),
    };
  }
  command_line parse(std::vector<const char*> arguments, std::vector<const char*> environment = {}) {
    arguments.insert(arguments.begin(), "files");
    environment.push_back(nullptr);
    return parse_command_line(static_cast<int>(arguments.size()), arguments.data(), environment.data(),
                              about);
  }
  std::string error(std::vector<const char*> arguments, std::vector<const char*> environment = {}) {
    try {
      (void)parse(std::move(arguments), std::move(environment));
    } catch (const config_error& e) {
      return e.what();
    }
    return {};
  }
};

struct file {
  std::string path = "/tmp/weir-key-XXXXXX";
  explicit file(std::string_view text) {
    unique_fd fd(::mkostemp(path.data(), O_CLOEXEC));
    REQUIRE(::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  file(const file&) = delete;
  file& operator=(const file&) = delete;
  ~file() { ::unlink(path.c_str()); }
};

}  // namespace

TEST_CASE(
    "a program's keys come from the file, the environment, --set and their flags, and the later one wins") {
  files_program p;
  const file toml(
      "[files]\nroot = \"/a\"\nhidden = true\ndepth = 7\ncache = \"16KiB\"\nwait = \"2s\"\n[other]\noffset = "
      "-2\n");
  put(p.about.keys, p.parse({"--config", toml.path.c_str()}).own);
  CHECK(p.root == "/a");
  CHECK(p.hidden);
  CHECK(p.depth == 7);
  CHECK(p.cache == 16384);
  CHECK(p.wait == 2s);
  CHECK(p.offset == -2);
  put(p.about.keys, p.parse({"--config", toml.path.c_str(), "--set", "files.depth=9", "--root", "/c"},
                            {"WEIR_FILES_DEPTH=8", "WEIR_FILES_CACHE=1MiB", "WEIR_FILES_ROOT=/b"})
                        .own);
  CHECK(p.root == "/c");
  CHECK(p.depth == 9);
  CHECK(p.cache == 1 << 20);
  put(p.about.keys, p.parse({}).own);  // the defaults are those of the start
  CHECK(p.root == "/srv");
  CHECK(p.depth == 3);
}

TEST_CASE("a variable is set by put() alone") {
  files_program p;
  const command_line asked = p.parse({"--set", "files.depth=9"});
  CHECK(p.depth == 3);
  CHECK_FALSE(p.error({"--set", "files.depth=8", "--set", "nonsense"}).empty());
  CHECK(p.depth == 3);
  CHECK(asked.origin_of("files.depth") == "--set files.depth");
}

TEST_CASE("what is wrong with a program's key is said as with any other") {
  files_program p;
  CHECK(p.error({"--set", "files.depth=0"}) ==
        "--set files.depth: 0 is out of range; allowed: 1..100 folders");
  CHECK_THAT(p.error({"--set", "files.depth=x"}),
             Contains("expected an integer, found \"x\"; allowed: 1..100 folders"));
  CHECK_THAT(p.error({}, {"WEIR_FILES_WAIT=5"}), Contains("WEIR_FILES_WAIT: expected a duration"));
  CHECK_THAT(p.error({"--root", "/bad"}), Contains("--root: \"/bad\" is no directory"));
  CHECK_THAT(p.error({"--set", "files.dept=1"}), Contains("unknown key; did you mean \"files.depth\"?"));
  CHECK_THAT(p.error({}, {"WEIR_FILES_DEPT=1"}),
             Contains("unknown variable; did you mean \"WEIR_FILES_DEPTH\"?"));
  CHECK_THAT(p.error({"--roof", "/x"}), Contains("--roof: unknown option; did you mean \"--root\"?"));
  CHECK_THAT(p.error({"--depth", "1"}), Contains("--depth: unknown option"));
  const file toml("[files]\ndepth = \"7\"\n");
  CHECK_THAT(p.error({"--config", toml.path.c_str()}), Contains(":2: files.depth: expected an integer"));
}

TEST_CASE("a program's keys are printed so that they read back") {
  files_program p;
  const command_line asked = p.parse({"--set", "files.root=/with \"quotes\"", "--set", "files.cache=1.5KiB"});
  const std::string printed = print_config(asked.settings, asked.own, p.about);
  CHECK_THAT(
      printed,
      Contains("\n[files]\n# the directory\n# a text; default \"/srv\"\nroot = \"/with \\\"quotes\\\"\"\n"));
  CHECK_THAT(printed, Contains("\n# how deep\n# 1..100 folders; default 3\ndepth = 3\n"));
  CHECK_THAT(printed, Contains("\n[other]\n"));
  CHECK(printed.find("[files]") == printed.rfind("[files]"));
  const file toml(printed);
  CHECK(p.parse({"--config", toml.path.c_str()}).own == asked.own);
  CHECK_THAT(help_text(p.about), Contains("--root DIR") && Contains("files.depth"));
}

TEST_CASE("a name that is taken or malformed is refused") {
  for (const char* bad :
       {"files", ".root", "files.", "files.a.b", "Files.root", "files root.x", "limits.mine", "files.root"}) {
    INFO(bad);
    files_program p;
    std::string other;
    p.about.keys.emplace_back(bad, other, "");
    CHECK_THROWS_AS(p.parse({}), std::invalid_argument);
  }
}
