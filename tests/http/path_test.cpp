#include "weir/http/detail/path.hpp"

#include <catch2/catch.hpp>

using namespace weir::http;

TEST_CASE("a path becomes a relative name") {
  CHECK(file_path("/a/b.txt") == "a/b.txt");
  CHECK(file_path("//etc/passwd") == "etc/passwd");
  CHECK(file_path("/") == "");
  CHECK(file_path("/a%20b%2Ec%C3%A4") == "a b.c\xc3\xa4");
  CHECK(file_path("/%2e%2e/x") == "../x");  // and is opened with RESOLVE_BENEATH only
}

TEST_CASE("a malformed path has no name") {
  for (const char* bad : {"/a%00b", "/a%2fb", "/a%2Fb", "/%", "/%4", "/%zz", "/%4z", "/%+4"})
    CHECK_FALSE(file_path(bad));
}

TEST_CASE("the ending of a name gives its type") {
  CHECK(content_type_of("a/b.HTML") == "text/html; charset=utf-8");
  CHECK(content_type_of("x.js") == "text/javascript; charset=utf-8");
  CHECK(content_type_of("a.html/b") == "application/octet-stream");
  CHECK(content_type_of("html") == "application/octet-stream");
  for (const auto& [name, type] : std::initializer_list<std::pair<const char*, const char*>>{
           {"a.webmanifest", "application/manifest+json"},
           {"a.mjs", "text/javascript; charset=utf-8"},
           {"a.avif", "image/avif"},
           {"a.jxl", "image/jxl"},
           {"a.vtt", "text/vtt; charset=utf-8"},
           {"a.m4a", "audio/mp4"},
           {"a.m3u8", "application/vnd.apple.mpegurl"},
           {"a.ts", "video/mp2t"},
           {"a.js.map", "application/json"},
           {"a.wasm", "application/wasm"},
           {"a.WOFF2", "font/woff2"},
           {"a.epub", "application/epub+zip"},
           {"a.zst", "application/zstd"},
           {"a.geojson", "application/geo+json"}})
    CHECK(content_type_of(name) == type);
  CHECK(content_type_of("a.anendingthatislongerthanany") == "application/octet-stream");
  CHECK(content_type_of("a.") == "application/octet-stream");
  CHECK(content_type_of("x.unknown") == "application/octet-stream");
}
