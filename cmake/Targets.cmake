# hb_library(NAME SOURCES...): a folder's library. Headers are found from the repository's root.
function(hb_library name)
  add_library(${name} STATIC ${ARGN})
  target_link_libraries(${name} PUBLIC hb_flags)
endfunction()

# hb_program(NAME SOURCES...): a program, all of them in build/bin.
function(hb_program name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE hb_flags)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endfunction()

# hb_nf(NAME): nfs/NAME. All .cc but main.cc form the library nf_NAME, which tests may link;
# main.cc makes the program that start_nf.sh runs.
function(hb_nf name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cc)
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
  if(sources)
    hb_library(nf_${name} ${sources})
    target_link_libraries(nf_${name} PUBLIC hb_nf_lib)
  else()
    add_library(nf_${name} INTERFACE)
    target_link_libraries(nf_${name} INTERFACE hb_nf_lib)
  endif()
  hb_program(nf-${name} ${name}/main.cc)
  target_link_libraries(nf-${name} PRIVATE nf_${name} hb_nf_main hb_dpdk_core)
  set_target_properties(nf-${name} PROPERTIES OUTPUT_NAME ${name}
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/nfs)
endfunction()
