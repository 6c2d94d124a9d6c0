#include "weir/base/detail/json_text.hpp"

#include <catch2/catch.hpp>

using weir::json_text;

TEST_CASE("a text is a string of JSON, whatever is in it") {
  CHECK(json_text("") == R"("")");
  CHECK(json_text("unix:/run/a \"b\" \\c") == R"("unix:/run/a \"b\" \\c")");
  CHECK(json_text("\n\x1f\x7f") == "\"\\u000a\\u001f\x7f\"");
  CHECK(json_text("é") == "\"é\"");
}
