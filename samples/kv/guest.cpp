#include "guest.hpp"

namespace kv {

inline guest::progress guest::run_requests(std::string_view input, weir::write_buffer& answers) {
  using result = request_parser::result;
  std::size_t requests = 0;
  std::size_t done = 0;
  for (;;) {
    const bool is_trusted = !state_->is(client_state::must_authenticate);
    parser_.set_limits(host_.limits().longest_string, is_trusted);
    request_batch& batch = host_.batch();
    batch.clear();  // whatever an exception has left
    std::size_t parsed = done;
    result last{};
    do {
      last = parser_.parse(input.substr(parsed));
      if (last != result::complete) break;
      parsed += parser_.size();
      // What a client may send depends on whether it has authenticated by then.
    } while (batch.add(parser_.words(), parsed, parser_.is_in_place()) && is_trusted);

    const std::size_t wanted = batch.size();
    const std::size_t ran = host_.run_batch(*state_, answers, most_unsent);
    requests += ran;
    if (ran < wanted) {
      parser_.start_over();
      return {requests, ran == 0 ? done : batch[ran - 1].end, !state_->leaves};
    }
    done = parsed;
    if (last == result::complete && !state_->leaves) continue;
    if (last == result::refused && !state_->leaves) {
      reply(answers).error("ERR " + parser_.error());
      state_->leaves = true;
    }
    return {requests, done, false};
  }
}

guest::progress guest::run(std::string_view input, milliseconds_since_1970 now, weir::write_buffer& answers) {
  host_.set_time(now);
  host_.meet_clients();
  if (!has_begun_) [[unlikely]]
    begin(now);
  state_->last_seen = now;
  if (state_->messages_end) [[unlikely]] {
    state_->messages.reset();
    state_->messages_end = false;
  }
  const progress done = run_requests(input, answers);
  if (state_->messages) [[unlikely]]
    post(answers);
  return done;
}

void guest::begin(milliseconds_since_1970 now) {
  has_begun_ = true;
  state_->since = now;
  state_->set(client_state::must_authenticate, host_.has_password());
  engine_facts& facts = host_.facts();
  const std::size_t colon = state_->local_address.rfind(':');
  if (facts.port != 0 || colon == std::string::npos) return;
  facts.port = static_cast<std::uint16_t>(integer_of(state_->local_address.substr(colon + 1)).value_or(0));
  facts.bind = state_->local_address.substr(0, colon);
}

// With the last subscription the client's answers go the short way again.
void guest::post(weir::write_buffer& answers) {
  if (answers.pending() != 0 && !state_->messages->post(std::make_shared<const std::string>(answers.text())))
    state_->leaves = true;
  answers.clear();
  if (state_->subscribed_to.count() != 0 && !state_->leaves) return;
  state_->messages->close();
  state_->messages_end = true;
}

}  // namespace kv
