#pragma once
// The page that shows the cores, from page.html.

#include <string_view>

extern const std::string_view live_page;
