// Large stretches of zeros from the system.

#pragma once

#include <cstddef>

namespace lmzip {

// `bytes` zeros for std::free, or null; pages that are never written are never there. Linux is asked for
// large pages: who reads all over the place spends much of its time translating addresses otherwise.
void* zeros(std::size_t bytes);

}  // namespace lmzip
