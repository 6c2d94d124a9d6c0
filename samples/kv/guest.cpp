#include "guest.hpp"

namespace kv {

guest::progress guest::run(std::string_view input, milliseconds_since_1970 now, weir::write_buffer& answers) {
  using result = request_parser::result;
  std::size_t requests = 0;
  std::size_t done = 0;
  host_.set_time(now);
  parser_.set_longest_bulk(host_.limits().longest_string);
  for (;;) {
    request_batch& batch = host_.batch();
    batch.clear();  // whatever an exception has left
    std::size_t parsed = done;
    result last{};
    do {
      last = parser_.parse(input.substr(parsed));
      if (last != result::complete) break;
      parsed += parser_.size();
    } while (batch.add(parser_.words(), parsed, parser_.is_in_place()));

    const std::size_t wanted = batch.size();
    const std::size_t ran = host_.run_batch(state_, answers, most_unsent);
    requests += ran;
    if (ran < wanted) {
      parser_.start_over();
      return {requests, ran == 0 ? done : batch[ran - 1].end, !state_.leaves};
    }
    done = parsed;
    if (last == result::complete && !state_.leaves) continue;
    if (last == result::refused && !state_.leaves) {
      reply(answers).error("ERR " + parser_.error());
      state_.leaves = true;
    }
    return {requests, done, false};
  }
}

}  // namespace kv
