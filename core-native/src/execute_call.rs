//! `execute` as a bare function: it is called once a frame. A call is six Node-API calls and the engine.

use std::cell::RefCell;
use std::ptr::null_mut;
use std::rc::Rc;

use napi::bindgen_prelude::Unknown;
use napi::{Env, Result, sys};

use crate::Core;
use crate::bare_function::{bare_function, throw};

/// Makes the JavaScript function `execute(frame, first, now)` of an engine.
pub fn execute_function<'env>(env: &'env Env, core: &Rc<RefCell<Core>>) -> Result<Unknown<'env>> {
    bare_function(env, c"execute", execute, core)
}

/// Length of the reply, or minus the status that refuses the frame.
unsafe extern "C" fn execute(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let mut arguments = [null_mut(); 3];
    let mut count = arguments.len();
    let mut data = null_mut();
    let (mut bytes, mut length) = (null_mut(), 0);
    let (mut first, mut now) = (0, 0.0);
    // SAFETY: the pointers are to live locals of the types that the calls fill; `arguments` has room
    // for `count` values.
    let valid = unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            &mut count,
            arguments.as_mut_ptr(),
            null_mut(),
            &mut data,
        ) == sys::Status::napi_ok
            && sys::napi_get_arraybuffer_info(env, arguments[0], &mut bytes, &mut length)
                == sys::Status::napi_ok
            && sys::napi_get_value_uint32(env, arguments[1], &mut first) == sys::Status::napi_ok
            && sys::napi_get_value_double(env, arguments[2], &mut now) == sys::Status::napi_ok
    };
    if !valid {
        return throw(env, c"execute takes an ArrayBuffer and two numbers");
    }
    // SAFETY: the function holds a count of the Rc for as long as it can be called.
    let core = unsafe { &*data.cast::<RefCell<Core>>() };
    let Ok(mut core) = core.try_borrow_mut() else {
        return throw(env, c"the engine is in the middle of a call");
    };
    if core.owns(bytes.cast()) {
        return throw(env, c"a frame cannot lie in the engine's own buffers");
    }
    let frame: &[u8] = if bytes.is_null() {
        &[]
    } else {
        // SAFETY: the ArrayBuffer is an argument of the running call, so it stays where it is; no
        // JavaScript runs before the slice is gone, and it is none of the engine's own buffers.
        unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) }
    };
    let answer = core.run(|engine, buffers| {
        match engine.execute(frame, first as usize, now as u64, buffers) {
            Ok(length) => length as i32,
            Err(status) => -i32::from(status.0),
        }
    });
    let Ok(answer) = answer else {
        return throw(env, c"the engine was closed or has stopped after a panic");
    };
    let mut value = null_mut();
    // SAFETY: `value` is a live local.
    unsafe { sys::napi_create_int32(env, answer, &mut value) };
    value
}
