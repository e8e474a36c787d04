#include "memory.h"

#include <cstdint>
#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace lmzip {

void* zeros(std::size_t bytes) {
    void* p = std::calloc(bytes, 1);
#if defined(__linux__)
    constexpr std::uintptr_t page = 1 << 21;
    const auto first = (reinterpret_cast<std::uintptr_t>(p) + page - 1) / page * page;
    const auto last = (reinterpret_cast<std::uintptr_t>(p) + bytes) / page * page;
    if (p != nullptr && first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
    return p;
}

}  // namespace lmzip
