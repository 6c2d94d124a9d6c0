#pragma once
// http: what the server answers.

#include <optional>
#include <string>

#include <weir/http/directory.hpp>
#include <weir/http/site.hpp>

#include "census.hpp"

// The directory to serve, if there is one.
struct content {
  std::optional<weir::http::directory> files;
  bool has_index = false;

  void set_root(const std::string& root);
};

// `files` and `all` outlive the server.
[[nodiscard]] weir::http::site site_of(const content& files, census& all);
