#include <array>
#include <cstdio>
#include <cstdlib>

#include "weir/base/detail/build.hpp"
#include "weir/connection/detail/connection_state.hpp"

namespace weir {

// The whole life of a connection: what each event does in each phase. An empty place cannot happen.
struct phase_table {
  using state = connection_state;
  using action = void (state::*)() noexcept;
  using row = std::array<action, 11>;

  static constexpr std::array<row, 6> rows = {{
      // serve, input, timer, stop,
      // cut, close, reset, drop,
      // park, release, handler_end
      /* opening */
      {&state::begin_serving, nullptr, &state::check_idle, &state::tell_stop, &state::nothing,
       &state::close_at_once, &state::reset_at_once, &state::let_go_and_close, &state::let_go_and_close,
       &state::give_up_socket, nullptr},
      /* serving */
      {nullptr, nullptr, &state::check_idle, &state::tell_stop, &state::cut_handler, &state::close_gracefully,
       &state::reset_at_once, &state::let_go_and_close, &state::park_after_handler, &state::give_up_socket,
       &state::end_of_handler},
      /* lingering */
      {nullptr, &state::linger_step, &state::end_linger, &state::nothing, &state::cut_linger, &state::nothing,
       &state::reset_at_once, &state::let_go, &state::let_go, nullptr, &state::end_of_handler},
      /* parked */
      {&state::begin_serving, &state::wake_parked, &state::check_idle_parked, &state::wake_parked,
       &state::close_parked, nullptr, nullptr, nullptr, nullptr, &state::give_up_socket, nullptr},
      /* leaving */
      {nullptr, nullptr, &state::offer_again, nullptr, &state::close_parked, nullptr, nullptr, nullptr,
       nullptr, nullptr, nullptr},
      /* ended */
      {nullptr, nullptr, nullptr, &state::tell_stop_without_socket, &state::cut_handler, &state::nothing,
       &state::nothing, &state::let_go, &state::let_go, nullptr, &state::end_of_handler},
  }};
};

void connection_state::on(connection_event e) noexcept {
  const auto action = phase_table::rows[static_cast<std::size_t>(phase_)][static_cast<std::size_t>(e)];
  if (action != nullptr) return (this->*action)();
  if constexpr (build::checks) {
    std::fprintf(stderr, "weir: a connection that is %s cannot have the event %s\n", name_of(phase_).data(),
                 name_of(e).data());
    std::abort();
  }
}

}  // namespace weir
