#include "wait_lines.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace weir::dump {
namespace {

constexpr std::size_t head = 16;         // the resume and the destroy function of a frame
constexpr std::size_t path_length = 48;  // instructions; what leads to a suspension point is shorter
constexpr std::size_t most_points = 256;
constexpr std::size_t most_of_frame = 2048;
constexpr std::size_t row = 4;  // steps
constexpr std::size_t longest_instruction = 15;
const std::string unknown;

// Of two places in one file.
bool is_before(std::string_view a, std::string_view b) {
  const auto colon = a.rfind(':');
  if (colon == std::string_view::npos || a.substr(0, colon + 1) != b.substr(0, colon + 1)) return false;
  a.remove_prefix(colon + 1);
  b.remove_prefix(colon + 1);
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

std::size_t first_difference(const std::vector<std::uintptr_t>& a, const std::vector<std::uintptr_t>& b) {
  return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

}  // namespace

const std::string& wait_lines::at(std::uintptr_t function, const remote_memory& memory,
                                  std::uintptr_t frame) {
  if (known_.size() >= most_points) return unknown;
  auto found = places_.find(function);
  if (found == places_.end())
    found = places_.emplace(function, find_place(function, memory.piece(frame, most_of_frame))).first;
  if (!found->second) return unknown;
  const place& where = *found->second;
  std::uint16_t number = 0;
  if (!memory.read(frame + where.offset, &number, where.size)) return unknown;
  const auto [line, is_new] = known_.try_emplace({function, number});
  if (is_new) line->second = line_of(function, where, memory.piece(frame, most_of_frame));
  return line->second;
}

wait_lines::path wait_lines::steps(std::uintptr_t function, const bytes& frame, std::size_t most) {
  path out;
  follows_.follow(function, frame, [&](std::uintptr_t at) {
    out.push_back(at);
    return out.size() < most;
  });
  return out;
}

// The first thing that depends on a frame is which suspension point it is at.
std::optional<wait_lines::place> wait_lines::find_place(std::uintptr_t function, const bytes& frame) {
  if (frame.size() <= head || lines_.at(function).empty()) return std::nullopt;
  const bool by_gcc = symbols_.at(function).find(".Frame") != std::string_view::npos;
  place out;
  if (by_gcc) out = {.offset = 0, .step = 2, .size = 2};
  const path present = steps(function, frame, path_length);
  const auto differs_at = [&](std::size_t from, std::size_t to) {
    bytes changed = frame;
    for (std::size_t i = from; i < to; i += out.size) changed[i] ^= static_cast<std::byte>(out.step);
    return first_difference(present, steps(function, changed, path_length));
  };
  std::size_t from = head;
  std::size_t to = frame.size();
  const std::size_t earliest = differs_at(from, to);
  if (earliest >= present.size()) return std::nullopt;
  while (to - from > out.size) {
    const std::size_t middle = from + (to - from) / 2 / out.size * out.size;
    (differs_at(from, middle) == earliest ? to : from) = middle;
  }
  out.offset = from;
  return out;
}

std::string wait_lines::line_of(std::uintptr_t function, const place& where, const bytes& frame) {
  if (where.offset + where.size > frame.size()) return {};
  const path present = steps(function, frame, path_length);
  std::uint16_t number = 0;
  std::memcpy(&number, frame.data() + where.offset, where.size);
  std::size_t own = 0;  // the first step that neither neighbour takes
  for (const int way : {-1, 1}) {
    const int other = number + way * where.step;
    if (other < 0) continue;
    bytes changed = frame;
    const auto neighbour = static_cast<std::uint16_t>(other);
    std::memcpy(changed.data() + where.offset, &neighbour, where.size);
    const std::size_t differs = first_difference(present, steps(function, changed, path_length));
    if (differs < present.size()) own = std::max(own, differs);
  }
  if (own == 0) return {};
  // What chooses between suspension points has the line of the function's end (GCC) or of its beginning, and
  // a compiler moves some of that behind the choice. It also moves up what belongs to statements behind the
  // wait: of the first steps in a row the earliest line counts.
  const std::string choice = lines_.outermost_at(present[own - 1]);
  std::string found;
  for (std::size_t i = own; i < present.size(); ++i) {
    std::string line = lines_.outermost_at(present[i]);
    if (line.empty()) continue;
    const bool in_a_row = i < own + row && present[i] - present[own] < row * longest_instruction;
    if (found.empty() || found == choice || (in_a_row && line != choice && is_before(line, found)))
      found = std::move(line);
    else if (!in_a_row)
      break;
  }
  return found;
}

}  // namespace weir::dump
