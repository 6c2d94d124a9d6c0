#include "weir/compare/replay.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <utility>

#include "replay_stage.hpp"
#include "weir/compare/detail/player.hpp"

namespace weir {
namespace {

using compare::difference;
using recording::conversation;

// What a client is to get.
struct expectation {
  std::string answers;
  std::vector<std::size_t> ends;  // of answers, where the client spoke again
  bool is_whole = false;          // nothing follows, and nothing is missing
};

expectation of_recording(const conversation& c) {
  expectation out;
  recording::redaction hides(compare::changing_headers());
  for (const auto& piece : c.pieces) {
    if (piece.from_client)
      out.ends.push_back(out.answers.size());
    else
      hides.append(out.answers, piece.bytes);
  }
  // A client that was reset, or was still there, may have got less than the server has to say.
  out.is_whole = c.ended == conversation::ending::by_client || c.ended == conversation::ending::by_server;
  return out;
}

std::vector<expectation> of_recording(const recording::content& recorded) {
  std::vector<expectation> out;
  if (!recorded.answers) return out;
  for (const auto& each : recorded.conversations) out.push_back(of_recording(each));
  return out;
}

std::vector<expectation> of_replay(const replay_result& first) {
  std::vector<expectation> out;
  for (const auto& each : first.clients) out.push_back({each.answers, each.at, !each.left});
  return out;
}

difference difference_at(std::size_t offset, const replay_result::client& c, const expectation& e) {
  const auto part = [offset](const std::string& all) {
    return all.substr(std::min(offset, all.size()), compare::most_shown);
  };
  return {c.number, offset, part(e.answers), part(c.answers)};
}

// As far as both go; with `whole` to the end of both.
std::optional<difference> differs(const replay_result::client& c, const expectation& e, bool whole) {
  const auto [mine, theirs] =
      std::mismatch(e.answers.begin(), e.answers.end(), c.answers.begin(), c.answers.end());
  if (mine == e.answers.end() && theirs == c.answers.end()) return std::nullopt;
  const bool is_prefix = mine == e.answers.end() || theirs == c.answers.end();
  if (is_prefix && !whole) return std::nullopt;
  return difference_at(static_cast<std::size_t>(mine - e.answers.begin()), c, e);
}

// A client that got less than it should, and was told by a FIN that this is all.
bool looks_whole(const replay_result::client& c, const expectation* e, const replay_options& how) {
  if (!c.ended || c.by_reset || c.left) return false;
  if (how.is_whole) return !how.is_whole(c.answers);
  if (e == nullptr || c.answers.size() >= e->answers.size()) return false;
  return std::ranges::find(e->ends, c.answers.size()) == e->ends.end();
}

std::string why_wrong(const replay_result::client& c, const expectation* e, const replay_options& how) {
  const bool costs_answers = how.faults.leave || how.faults.failure;
  // What others did not do may show in the answers of each.
  if (costs_answers && !how.faults.reorder) e = nullptr;
  if (e != nullptr && !(how.faults.failure && how.is_whole))
    if (const auto d = differs(c, *e, e->is_whole && !how.faults.failure && !c.left)) return shown(*d);
  if (costs_answers && looks_whole(c, e, how))
    return fmt::format("connection {}: after {} bytes of answers the server ends it as if they were whole",
                       c.number, c.answers.size());
  return {};
}

void judge(replay_result& r, const std::vector<expectation>& expected, const replay_options& how) {
  for (std::size_t i = 0; i < r.clients.size() && r.failure.empty(); ++i)
    r.failure = why_wrong(r.clients[i], expected.empty() ? nullptr : &expected[i], how);
}

bool has_faults(const replay_faults& f) {
  return f.split || f.delay || f.pause || f.reorder || f.leave || f.failure;
}

replay_result replay_once(const recording::content& recorded, const service_form& what,
                          const replay_options& how, const std::vector<expectation>& expected) {
  if (how.faults.failure && !how.fail)
    throw std::invalid_argument("replay: faults.failure needs replay_options::fail");
  compare::replay_stage stage(recorded, what, how);
  replay_result out = stage.play(compare::plan_of(recorded, how.faults));
  out.problems = recorded.problems;
  judge(out, expected, how);
  if (!out && has_faults(how.faults)) out.failure = fmt::format("seed {}: {}", how.faults.seed, out.failure);
  return out;
}

}  // namespace

replay_faults replay_faults::of_timing(std::uint64_t seed) {
  return {.seed = seed, .split = true, .delay = true, .pause = true};
}

replay_result replay(const recording::content& recorded, const service_form& what,
                     const replay_options& how) {
  return replay_once(recorded, what, how, of_recording(recorded));
}

replay_result replay(const std::string& file, const service_form& what, const replay_options& how) {
  return replay(recording::read(file), what, how);
}

replay_result replay(const std::string& file, const connection_handler& handler, const replay_options& how) {
  return replay(file, keeping(state_kind::per_connection, handler), how);
}

replay_result replay_seeds(const recording::content& recorded, const std::function<service_form()>& make,
                           std::uint64_t count, replay_options how) {
  replay_options quiet = how;
  quiet.faults = {};
  replay_result last = replay(recorded, make(), quiet);
  const auto expected = of_replay(last);
  for (std::uint64_t i = 0; i < count && last; ++i, ++how.faults.seed)
    last = replay_once(recorded, make(), how, expected);
  return last;
}

replay_result replay_seeds(const std::string& file, const std::function<service_form()>& make,
                           std::uint64_t count, const replay_options& how) {
  return replay_seeds(recording::read(file), make, count, how);
}

}  // namespace weir
