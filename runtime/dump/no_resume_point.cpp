// dump: of a processor whose registers are not known here.

#include "resume_point.hpp"

namespace weir::dump {

resume_point::resume_point() = default;
resume_point::~resume_point() = default;

void resume_point::follow(std::uintptr_t, std::span<const std::byte>,
                          const std::function<bool(std::uintptr_t)>&) {}

}  // namespace weir::dump
