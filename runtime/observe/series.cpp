#include "weir/observe/detail/series.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>

#include "weir/observe/counter.hpp"
#include "weir/observe/histogram.hpp"

namespace weir::observe {
namespace {

using state = series_name::state;

constinit series_store own_store{};  // its pages are taken when they are used
std::atomic<series_store*> present{&own_store};

template <std::size_t N>
void put(std::array<char, N>& into, std::string_view text) noexcept {
  into[text.copy(into.data(), N - 1)] = '\0';
}

// Another process is naming it, for which it needs no time; or it has died amid that.
bool is_written(const series_name& each) noexcept {
  for (int tries = 0; tries < 1000 && each.now.load(std::memory_order_acquire) == state::being_written;
       ++tries)
    ::sched_yield();
  return each.is_ready();
}

std::size_t place_in(std::span<series_name> all, std::string_view name, std::string_view labels,
                     std::string_view help, unit what) noexcept {
  const std::size_t first = std::hash<std::string_view>{}(name) ^ std::hash<std::string_view>{}(labels);
  for (std::size_t n = 0; n < all.size(); ++n) {
    const std::size_t at = (first + n) % all.size();
    series_name& each = all[at];
    state was = state::free;
    if (each.now.compare_exchange_strong(was, state::being_written)) {
      each.what = what;
      put(each.name, name);
      put(each.labels, labels);
      put(each.help, help);
      each.now.store(state::ready, std::memory_order_release);
      return at;
    }
    if (is_written(each) && each.get_name() == name && each.get_labels() == labels) return at;
  }
  return series_store::none;
}

void take_names(std::span<series_name> into, std::span<const series_name> from) noexcept {
  for (std::size_t i = 0; i < into.size(); ++i) {
    if (!from[i].is_ready()) continue;
    into[i].what = from[i].what;
    into[i].name = from[i].name;
    into[i].labels = from[i].labels;
    into[i].help = from[i].help;
    into[i].now.store(state::ready, std::memory_order_release);
  }
}

// Threads of a process count one after the other; those of other processes begin elsewhere.
std::size_t stripe_here() noexcept {
  static std::atomic<std::size_t> next{0};
  constinit thread_local std::size_t mine = SIZE_MAX;
  if (mine == SIZE_MAX)
    mine = (next.fetch_add(1) + static_cast<std::size_t>(::getpid())) % series_store::stripes;
  return mine;
}

bool is_word(std::string_view text) noexcept {
  if (text.empty() || (text.front() >= '0' && text.front() <= '9')) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c == '_' || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
}

unit unit_of(std::string_view name) noexcept {
  return name.ends_with("_seconds") ? unit::seconds : name.ends_with("_bytes") ? unit::bytes : unit::none;
}

[[noreturn]] void refuse(std::string_view name, const char* why) {
  throw std::invalid_argument("metric \"" + std::string(name) + "\": " + why);
}

std::size_t made(std::size_t place, std::string_view name) {
  if (place == series_store::none)
    throw std::length_error("metric \"" + std::string(name) + "\": there are too many");
  return place;
}

bool has(std::span<const series_name> all, std::string_view name) noexcept {
  return std::any_of(all.begin(), all.end(),
                     [&](const series_name& s) { return s.is_ready() && s.get_name() == name; });
}

std::size_t make_counter(std::string_view name, std::string_view help, std::string_view labels) {
  check_name(name, "_total");
  if (has(series().histograms, name)) refuse(name, "it is a histogram already");
  return made(series().counter(name, labels, help), name);
}

std::size_t make_histogram(std::string_view name, std::string_view help, std::string_view labels) {
  check_name(name, "_bucket");
  if (has(series().counters, name)) refuse(name, "it is a counter already");
  return made(series().histogram(name, labels, help, unit_of(name)), name);
}

}  // namespace

std::size_t series_store::counter(std::string_view name, std::string_view labels,
                                  std::string_view help) noexcept {
  return place_in(counters, name, labels, help, unit_of(name));
}

std::size_t series_store::histogram(std::string_view name, std::string_view labels, std::string_view help,
                                    unit what) noexcept {
  return place_in(histograms, name, labels, help, what);
}

void series_store::count(std::size_t place, std::uint64_t n) noexcept {
  counts[stripe_here()][place].add_from_any(n);
}

std::uint64_t series_store::counted(std::size_t place) const noexcept {
  std::uint64_t sum = 0;
  for (const auto& stripe : counts) sum += stripe[place].read();
  return sum;
}

void series_store::take_over(const series_store& from) noexcept {
  take_names(counters, from.counters);
  take_names(histograms, from.histograms);
  for (std::size_t i = 0; i < most_counters; ++i)
    if (from.counters[i].is_ready()) counts[0][i].add_from_any(from.counted(i));
  for (std::size_t i = 0; i < most_histograms; ++i) {
    if (!from.histograms[i].is_ready()) continue;
    for (std::size_t b = 0; b < log_linear::buckets; ++b)
      if (const auto n = from.measured[i].counts[b].read(); n != 0) measured[i].counts[b].add_from_any(n);
    measured[i].sum.add_from_any(from.measured[i].sum.read());
  }
}

series_store& series() noexcept { return *present.load(std::memory_order_acquire); }

bool use_series(series_store& shared) noexcept {
  if (&series() != &own_store) return false;
  shared.take_over(own_store);
  present.store(&shared, std::memory_order_release);
  return true;
}

void give_back_series(const series_store& shared) noexcept {
  if (&series() != &shared) return;
  for (auto& stripe : own_store.counts)
    for (auto& each : stripe) each.set(0);
  for (auto& each : own_store.measured) {
    for (auto& bucket : each.counts)
      if (bucket.read() != 0) bucket.set(0);
    each.sum.set(0);
  }
  own_store.take_over(shared);
  present.store(&own_store, std::memory_order_release);
}

void check_name(std::string_view name, std::string_view wrong_end) {
  if (!is_word(name)) refuse(name, "a name has lower case letters, digits and _ alone");
  if (name.size() >= sizeof(series_name::name)) refuse(name, "it is too long");
  if (name.starts_with("weir_")) refuse(name, "the names with weir_ are the library's");
  if (name.ends_with(wrong_end)) refuse(name, "its last part is added when it is exported");
}

std::array<char, 128> label_text(std::string_view label, std::string_view value) {
  if (!is_word(label)) refuse(label, "a label has lower case letters, digits and _ alone");
  std::string text = std::string(label) + "=\"";
  for (const char c : value) {
    if (static_cast<unsigned char>(c) < ' ') refuse(value, "a label's value has no control characters");
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  text += '"';
  std::array<char, 128> out{};
  if (text.size() >= out.size()) refuse(value, "it is too long for a label's value");
  put(out, text);
  return out;
}

}  // namespace weir::observe

namespace weir {

counter::counter(std::string_view name, std::string_view help)
    : place_(observe::make_counter(name, help, {})) {}

counter::counter(std::string_view name, std::string_view help, std::string_view label, std::string_view value)
    : place_(observe::make_counter(name, help, observe::label_text(label, value).data())) {}

void counter::add(std::uint64_t n) const noexcept { observe::series().count(place_, n); }

std::uint64_t counter::value() const noexcept { return observe::series().counted(place_); }

histogram::histogram(std::string_view name, std::string_view help)
    : place_(observe::make_histogram(name, help, {})) {}

histogram::histogram(std::string_view name, std::string_view help, std::string_view label,
                     std::string_view value)
    : place_(observe::make_histogram(name, help, observe::label_text(label, value).data())) {}

void histogram::record(std::uint64_t value) const noexcept {
  observe::series().measured[place_].record(value);
}

observe::histogram_view histogram::look() const noexcept {
  observe::histogram_view view;
  view.add(observe::series().measured[place_]);
  return view;
}

std::uint64_t histogram::quantile(double q) const noexcept { return look().quantile(q); }

std::uint64_t histogram::count() const noexcept { return look().count(); }

}  // namespace weir
