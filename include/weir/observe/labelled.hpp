#pragma once
// observe: several counters or histograms of one name, told apart by a label.

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

// The values of the label are fixed when it is made, so a peer cannot make the server remember new ones:
//
//   weir::labelled<weir::counter> paid("shop_payments", "Payments.", "method", {"card", "cash"});
//   paid[0].add();
//   paid["cash"].add();
//
// Thread: any. Errors: as of counter and histogram.
template <class Series>
class labelled {
 public:
  labelled(std::string_view name, std::string_view help, std::string_view label,
           std::initializer_list<std::string_view> values) {
    for (const std::string_view value : values)
      all_.push_back({std::string(value), {name, help, label, value}});
  }

  [[nodiscard]] const Series& operator[](std::size_t i) const noexcept { return all_[i].series; }
  // Errors: std::out_of_range for a value that is not among them.
  [[nodiscard]] const Series& operator[](std::string_view value) const {
    const auto at = std::find_if(all_.begin(), all_.end(), [&](const one& o) { return o.value == value; });
    if (at == all_.end()) throw std::out_of_range("no label value " + std::string(value));
    return at->series;
  }

 private:
  struct one {
    std::string value;
    Series series;
  };
  std::vector<one> all_;
};

}  // namespace weir
