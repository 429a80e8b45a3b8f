# onvm_nf(NAME SOURCES...): a program from an OpenNetVM NF's sources, as they are. Compiled with the
# flags of hummingbird-onvm.pc, not with this project's own: its code is not this project's.
function(onvm_nf name)
  add_executable(${name} ${ARGN})
  target_include_directories(${name} SYSTEM PRIVATE ${DPDK_INCLUDE_DIRS} ${CJSON_INCLUDE_DIRS})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/onvm_compat/include)
  target_compile_options(${name} PRIVATE -march=x86-64-v2 -include rte_config.h
    "SHELL:-include ${CMAKE_SOURCE_DIR}/onvm_compat/include/onvm_compat_shim.h")
  target_link_libraries(${name} PRIVATE onvm_compat ${DPDK_LIBRARIES} ${CJSON_LIBRARIES} pthread m)
  set_target_properties(${name} PROPERTIES C_STANDARD 11 C_EXTENSIONS ON)
endfunction()
