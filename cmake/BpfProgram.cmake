# bpf_program(NAME): compiles NAME.bpf.c with clang for the BPF target and makes its skeleton header with bpftool.
# Like the kernel, the programs read what they wrote as words of another size: -fno-strict-aliasing.
# The result is the interface library sluice::bpf_NAME, which offers "NAME.skel.h" with the object embedded.
find_program(SLUICE_BPF_CLANG NAMES clang-19 clang-18 clang-17 clang-16 clang-15 clang-14 clang REQUIRED)
find_program(SLUICE_BPFTOOL NAMES bpftool PATHS /usr/sbin /sbin REQUIRED)

# All of them: what has to be made before any source of C++ can be read.
add_custom_target(bpf_skeletons)

function(bpf_program name)
  set(source ${CMAKE_CURRENT_SOURCE_DIR}/${name}.bpf.c)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o)
  set(skeleton ${CMAKE_CURRENT_BINARY_DIR}/skeleton/${name}.skel.h)
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${SLUICE_BPF_CLANG} -target bpf -mcpu=v3 -O2 -g -std=gnu11 -fno-strict-aliasing -Wall -Wextra -Wno-unused-parameter
            $<$<BOOL:${SLUICE_WERROR}>:-Werror>
            -I${PROJECT_SOURCE_DIR} -I${PROJECT_SOURCE_DIR}/bpf
            -MD -MF ${object}.d -MT ${object} -c ${source} -o ${object}
    DEPENDS ${source} DEPFILE ${object}.d COMMAND_EXPAND_LISTS VERBATIM
    COMMENT "BPF object ${name}.bpf.o")
  add_custom_command(
    OUTPUT ${skeleton}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/skeleton
    COMMAND sh -c "\"$1\" gen skeleton \"$2\" name \"$3\" > \"$4\"" sh ${SLUICE_BPFTOOL} ${object} ${name}_bpf ${skeleton}
    DEPENDS ${object} VERBATIM
    COMMENT "BPF skeleton ${name}.skel.h")
  add_custom_target(bpf_${name}_skeleton DEPENDS ${skeleton})
  add_dependencies(bpf_skeletons bpf_${name}_skeleton)
  add_library(bpf_${name} INTERFACE)
  add_dependencies(bpf_${name} bpf_${name}_skeleton)
  target_include_directories(bpf_${name} SYSTEM INTERFACE ${CMAKE_CURRENT_BINARY_DIR}/skeleton)
  target_link_libraries(bpf_${name} INTERFACE sluice::bpf_library)
  add_library(sluice::bpf_${name} ALIAS bpf_${name})
endfunction()
