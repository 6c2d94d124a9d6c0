#include <array>
#include <cstdio>
#include <cstdlib>

#include "weir/base/detail/build.hpp"
#include "weir/connection/detail/connection_state.hpp"

namespace weir {

// The whole life of a connection: what each event does in each phase. `no` cannot happen.
struct phase_table {
  using s = connection_state;
  using action = void (s::*)() noexcept;
  using row = std::array<action, 6>;

  static constexpr action no = nullptr;
  static constexpr action nothing = &s::nothing;

  // clang-format off
  static constexpr std::array<row, 12> rows = {{
      //               opening               serving                 lingering          parked                  leaving           ended
      /* serve */       {&s::begin_serving,    no,                     no,                &s::begin_serving,      no,               no},
      /* input */       {no,                   no,                     &s::linger_step,   &s::wake_parked,        no,               no},
      /* wait_failed */ {no,                   no,                     &s::end_linger,    &s::close_parked,       no,               no},
      /* timer */       {&s::check_idle,       &s::check_idle,         &s::end_linger,    &s::check_idle_parked,  &s::offer_again,  no},
      /* stop */        {&s::tell_stop,        &s::tell_stop,          nothing,           &s::wake_parked,        nothing,          &s::cancel_handler},
      /* cut */         {nothing,              &s::cut_handler,        &s::cut_linger,    &s::close_parked,       &s::close_parked, &s::cancel_handler},
      /* close */       {&s::close_at_once,    &s::close_gracefully,   nothing,           no,                     no,               nothing},
      /* reset */       {&s::reset_at_once,    &s::reset_at_once,      &s::reset_at_once, no,                     no,               nothing},
      /* drop */        {&s::let_go_and_close, &s::let_go_and_close,   &s::let_go,        no,                     no,               &s::let_go},
      /* park */        {&s::let_go_and_close, &s::park_after_handler, &s::let_go,        no,                     no,               &s::let_go},
      /* release */     {&s::give_up_socket,   &s::give_up_socket,     no,                &s::give_up_socket,     no,               no},
      /* handler_end */ {no,                   &s::end_of_handler,     &s::end_of_handler, no,                    no,               &s::end_of_handler},
  }};
  // clang-format on
};

void connection_state::on(connection_event e) noexcept {
  const auto action = phase_table::rows[static_cast<std::size_t>(e)][static_cast<std::size_t>(phase_)];
  if (action != nullptr) return (this->*action)();
  if constexpr (build::checks) {
    std::fprintf(stderr, "weir: a connection that is %s cannot have the event %s\n", name_of(phase_).data(),
                 name_of(e).data());
    std::abort();
  }
}

}  // namespace weir
