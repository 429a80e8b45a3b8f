# Flags of the project's own code: warnings are errors, loops and functions aligned so that two
# copies of one loop do not differ by their place in memory alone.
add_library(hb_flags INTERFACE)
target_compile_options(hb_flags INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-align -Werror
  -Wno-restrict  # GCC 12 at -O3 is wrong about "literal" + std::string&&
  -falign-functions=64 -fno-omit-frame-pointer)
target_include_directories(hb_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(hb_flags INTERFACE
  $<$<CONFIG:Release>:SPDLOG_ACTIVE_LEVEL=SPDLOG_LEVEL_DEBUG>
  $<$<NOT:$<CONFIG:Release>>:SPDLOG_ACTIVE_LEVEL=SPDLOG_LEVEL_TRACE>)
if(HB_SANITIZER)
  target_compile_options(hb_flags INTERFACE -fsanitize=${HB_SANITIZER} -fno-sanitize-recover=all)
  target_link_options(hb_flags INTERFACE -fsanitize=${HB_SANITIZER})
  if(HB_SANITIZER MATCHES "thread")
    # DPDK's default rings order memory by fences that TSan does not know; its C11 rings use atomics.
    target_compile_definitions(hb_flags INTERFACE RTE_USE_C11_MEM_MODEL HB_TSAN)
    target_compile_options(hb_flags INTERFACE -Wno-tsan)
  endif()
endif()
