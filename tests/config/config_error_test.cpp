#include "weir/config/config_error.hpp"

#include <catch2/catch.hpp>

TEST_CASE("a configuration error carries every message, one per line") {
  const weir::config_error error({"--model: bad", "weir.toml:3: io: bad"});
  CHECK(error.messages().size() == 2);
  CHECK(std::string(error.what()) == "--model: bad\nweir.toml:3: io: bad");
}
