#include "weir/compare/detail/replay_plan.hpp"

#include <algorithm>
#include <optional>
#include <random>
#include <utility>

namespace weir::compare {
namespace {

using namespace std::chrono_literals;
using recording::conversation;
using std::chrono::microseconds;
using kind = client_action::kind;

constexpr int little_room = 4608;  // the least that the kernel gives a socket
constexpr auto server_ends = 1s;   // what a client waits for that of a server, which may be due to the clock
constexpr std::size_t most_parts = 8;

// The same on each machine, as the distributions of the standard library are not.
class chance {
 public:
  explicit chance(std::uint64_t seed) : engine_(seed) {}
  [[nodiscard]] std::uint64_t below(std::uint64_t n) { return n == 0 ? 0 : engine_() % n; }
  [[nodiscard]] bool one_in(std::uint64_t n) { return below(n) == 0; }
  [[nodiscard]] microseconds up_to(microseconds most) {
    return microseconds(below(static_cast<std::uint64_t>(most.count()) + 1));
  }

 private:
  std::mt19937_64 engine_;
};

microseconds last_moment(const recording::content& recorded) {
  microseconds last{};
  for (const conversation& c : recorded.conversations) {
    last = std::max({last, c.began, c.ended_at});
    if (!c.pieces.empty()) last = std::max(last, c.pieces.back().at);
  }
  return last;
}

// What a client did, without faults.
std::vector<client_action> steps_of(const conversation& c, std::uint32_t place, microseconds last) {
  std::vector<client_action> out;
  const auto add = [&](kind what, microseconds at) -> client_action& {
    return out.emplace_back(client_action{.at = at, .client = place, .what = what});
  };
  add(kind::open, c.began);
  for (const auto& piece : c.pieces) {
    if (!piece.from_client || piece.bytes.empty()) continue;
    client_action& sends = add(kind::send, piece.at);
    sends.bytes = piece.bytes;
    sends.begins = true;
  }
  switch (c.ended) {
    case conversation::ending::by_client: add(kind::finish, c.ended_at); break;
    case conversation::ending::by_reset: add(kind::leave, c.ended_at); break;
    case conversation::ending::by_server: add(kind::finish, c.ended_at + server_ends); break;
    case conversation::ending::unknown: add(kind::finish, last); break;
  }
  return out;
}

// The same with faults of timing.
class disturbance {
 public:
  disturbance(const replay_faults& f, chance& from) : faults_(f), chance_(from) {}

  // Appends the step. Time moves on from one to the next.
  void append(const client_action& step, std::vector<client_action>& to) {
    due_ = step.at;
    now_ = std::max(now_, due_);
    wait();
    if (step.what != kind::send) {
      client_action& done = add(step, to);
      if (step.what == kind::open && faults_.pause && chance_.one_in(2)) done.room = little_room;
      return;
    }
    const bool pauses = faults_.pause && chance_.one_in(4) && now_ - due_ < faults_.most_delay;
    if (pauses) add({.client = step.client, .what = kind::pause}, to);
    append_parts(step, to);
    if (!pauses) return;
    now_ += 1ms + chance_.up_to(faults_.most_delay);
    add({.client = step.client, .what = kind::go_on}, to);
  }

 private:
  client_action& add(client_action step, std::vector<client_action>& to) const {
    step.at = now_;
    return to.emplace_back(step);
  }

  // Lateness is bounded, so that no time-out of the server's is due to it.
  void wait() {
    if (!faults_.delay && !faults_.reorder) return;
    if (now_ - due_ < faults_.most_delay && chance_.one_in(2)) now_ += chance_.up_to(faults_.most_delay);
  }

  void append_parts(client_action step, std::vector<client_action>& to) {
    std::string_view left = step.bytes;
    if (faults_.split) {
      // Most often a few, sometimes one for each byte of the beginning.
      const bool each_byte = chance_.one_in(8);
      const std::uint64_t parts = each_byte ? 64 : chance_.below(most_parts);
      for (std::uint64_t i = 0; i < parts && left.size() > 1; ++i) {
        step.bytes = left.substr(0, each_byte ? 1 : 1 + chance_.below(left.size() - 1));
        left.remove_prefix(step.bytes.size());
        add(step, to);
        step.begins = false;
        wait();
      }
    }
    step.bytes = left;
    add(step, to);
  }

  const replay_faults& faults_;
  chance& chance_;
  microseconds due_{};
  microseconds now_{};
};

// Where in what it sends the client goes away, if it does.
void cut(std::vector<client_action>& steps, chance& from) {
  if (!from.one_in(3)) return;
  const std::size_t at = 1 + from.below(steps.size() - 1);
  client_action& last = steps[at];
  const client_action leaves{.at = last.at, .client = last.client, .what = kind::leave};
  if (last.what == kind::send) {
    last.bytes = last.bytes.substr(0, from.below(last.bytes.size() + 1));
    steps.resize(at + (last.bytes.empty() ? 0 : 1));
  } else {
    steps.resize(at);
  }
  steps.push_back(leaves);
}

// Keeps the order of what happens at once. (std::stable_sort of GCC 12 is deprecated in itself for clang.)
void sort_by_time(std::vector<client_action>& all) {
  std::vector<std::pair<microseconds, std::size_t>> order;
  for (const client_action& each : all) order.emplace_back(each.at, order.size());
  std::ranges::sort(order);
  std::vector<client_action> sorted;
  for (const auto& each : order) sorted.push_back(all[each.second]);
  all = std::move(sorted);
}

// A call fails in what the server does for one of the things that clients do.
void plan_failure(std::vector<client_action>& all, chance& from) {
  if (!all.empty()) all[from.below(all.size())].failure = 1 + from.below(40);
}

}  // namespace

std::vector<client_action> plan_of(const recording::content& recorded, const replay_faults& f) {
  chance from(f.seed);
  const microseconds last = last_moment(recorded);
  std::vector<client_action> steps;
  std::vector<client_action> out;
  for (std::uint32_t i = 0; i < recorded.conversations.size(); ++i) {
    auto each = steps_of(recorded.conversations[i], i, last);
    if (f.leave) cut(each, from);
    if (!f.reorder) {
      steps.insert(steps.end(), each.begin(), each.end());
      continue;
    }
    disturbance d(f, from);
    for (const client_action& step : each) d.append(step, out);
  }
  if (f.reorder) {
    sort_by_time(out);
    // Several at a time, so that the loop finds the events of more than one client at once.
    for (client_action& each : out) each.alone = from.one_in(2);
  } else {
    sort_by_time(steps);
    disturbance d(f, from);
    for (const client_action& step : steps) d.append(step, out);
  }
  if (f.failure) plan_failure(out, from);
  return out;
}

}  // namespace weir::compare
