#pragma once
// compare: the page of a comparison, made of the files in runtime/compare/page.

#include <string_view>

namespace weir::compare {

// Its script waits for the data in the place of a comment.
[[nodiscard]] std::string_view page_text() noexcept;

}  // namespace weir::compare
