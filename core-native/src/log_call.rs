//! What the log's Node-API surface (`log_api.rs`) does without generated bindings: `append` and `flush` as
//! bare functions, the threadsafe function through which the thread calls back, and the hook that ends
//! the thread before its environment. All of them hold a count of the same `Rc`.

use std::cell::RefCell;
use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::rc::Rc;

use napi::bindgen_prelude::Unknown;
use napi::{Env, Error, JsValue, Result, Status, sys};

use crate::bare_function::throw;
use crate::log::batch::BATCH_BODY_BYTES_MAX;
use crate::log_api::Core;

/// The threadsafe function, for the log's thread.
#[derive(Clone, Copy)]
pub struct Notifier(pub sys::napi_threadsafe_function);

// SAFETY: a threadsafe function may be called from any thread while it is not released; the thread that
// has this one is joined before that.
unsafe impl Send for Notifier {}

impl Notifier {
    pub fn call(self) {
        // SAFETY: as above. Where the environment goes down the call fails, which harms nothing.
        unsafe {
            sys::napi_call_threadsafe_function(
                self.0,
                null_mut(),
                sys::ThreadsafeFunctionCallMode::nonblocking,
            );
        }
    }
}

/// Does not keep the process alive until `keep_alive` says so.
pub fn create_notifier(
    env: &Env,
    callback: &Unknown<'_>,
    core: &Rc<RefCell<Core>>,
) -> Result<Notifier> {
    let context = Rc::into_raw(Rc::clone(core)).cast_mut().cast::<c_void>();
    let mut name = null_mut();
    let mut notifier = null_mut();
    // SAFETY: `env` and `callback` are those of the running call, the callbacks have the signatures that
    // Node-API asks for, and `context` is one count of the Rc, which `release` takes back.
    let made = unsafe {
        sys::napi_create_string_utf8(env.raw(), c"rondo-log".as_ptr(), 9, &mut name);
        sys::napi_create_threadsafe_function(
            env.raw(),
            callback.raw(),
            null_mut(),
            name,
            0,
            1,
            null_mut(),
            Some(release),
            context,
            Some(on_notified),
            &mut notifier,
        )
    };
    if made != sys::Status::napi_ok {
        // SAFETY: nobody took the count.
        drop(unsafe { Rc::from_raw(context.cast::<RefCell<Core>>()) });
        return Err(Error::from_status(Status::from(made)));
    }
    // SAFETY: it was just made.
    unsafe { sys::napi_unref_threadsafe_function(env.raw(), notifier) };
    Ok(Notifier(notifier))
}

unsafe extern "C" fn on_notified(
    env: sys::napi_env,
    callback: sys::napi_value,
    context: *mut c_void,
    _data: *mut c_void,
) {
    if env.is_null() || callback.is_null() {
        return;
    }
    // SAFETY: the notifier holds a count of the Rc until it is finalized.
    let core = unsafe { &*context.cast::<RefCell<Core>>() };
    match core.try_borrow_mut() {
        Ok(mut core) => core.refresh(env),
        Err(_) => return,
    }
    let mut this = null_mut();
    let mut pending = false;
    // SAFETY: the values are those of this callback; what JavaScript throws becomes an uncaught
    // exception, where Node-API alone would only warn.
    unsafe {
        sys::napi_get_undefined(env, &mut this);
        sys::napi_call_function(env, this, callback, 0, null(), null_mut());
        sys::napi_is_exception_pending(env, &mut pending);
        if pending {
            let mut error = null_mut();
            sys::napi_get_and_clear_last_exception(env, &mut error);
            sys::napi_fatal_exception(env, error);
        }
    }
}

/// Added after the notifier was made, so that it runs before Node takes the notifier down.
pub fn add_cleanup_hook(env: &Env, core: &Rc<RefCell<Core>>) -> Result<()> {
    let data = Rc::into_raw(Rc::clone(core)).cast_mut().cast::<c_void>();
    // SAFETY: `data` is one count of the Rc, which the hook or its removal takes back.
    let added = unsafe { sys::napi_add_env_cleanup_hook(env.raw(), Some(clean_up), data) };
    if added == sys::Status::napi_ok {
        return Ok(());
    }
    // SAFETY: nobody took the count.
    drop(unsafe { Rc::from_raw(data.cast::<RefCell<Core>>()) });
    Err(Error::from_status(Status::from(added)))
}

pub fn remove_cleanup_hook(env: &Env, core: &Rc<RefCell<Core>>) {
    let data = Rc::as_ptr(core).cast_mut().cast::<c_void>();
    // SAFETY: the hook was added with this pointer; its count is taken back once it can no longer run.
    unsafe {
        if sys::napi_remove_env_cleanup_hook(env.raw(), Some(clean_up), data)
            == sys::Status::napi_ok
        {
            Rc::decrement_strong_count(data.cast::<RefCell<Core>>());
        }
    }
}

unsafe extern "C" fn clean_up(data: *mut c_void) {
    // SAFETY: called once, with the pointer that `add_cleanup_hook` gave.
    let core = unsafe { Rc::from_raw(data.cast::<RefCell<Core>>()) };
    if let Ok(mut core) = core.try_borrow_mut() {
        core.stop_thread();
    }
}

/// The notifier's finalizer.
unsafe extern "C" fn release(_env: sys::napi_env, _data: *mut c_void, context: *mut c_void) {
    // SAFETY: called once, with the pointer that `create_notifier` gave.
    drop(unsafe { Rc::from_raw(context.cast::<RefCell<Core>>()) });
}

pub unsafe extern "C" fn append(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let mut arguments = [null_mut(); 2];
    let mut count = arguments.len();
    let mut data = null_mut();
    let (mut kind, mut bytes, mut size, mut length) = (-1, null_mut(), 0, 0);
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
            && sys::napi_get_typedarray_info(
                env,
                arguments[0],
                &mut kind,
                &mut size,
                &mut bytes,
                null_mut(),
                null_mut(),
            ) == sys::Status::napi_ok
            && kind == sys::TypedarrayType::uint8_array
            && sys::napi_get_value_uint32(env, arguments[1], &mut length) == sys::Status::napi_ok
    };
    if !valid {
        return throw(env, c"append takes a Uint8Array and a number");
    }
    // SAFETY: the function holds a count of the Rc for as long as it can be called.
    let core = unsafe { &*data.cast::<RefCell<Core>>() };
    let Ok(mut core) = core.try_borrow_mut() else {
        return throw(env, c"the log is in the middle of a call");
    };
    let length = length as usize;
    let records: &[u8] = if bytes.is_null() || length > size || length > BATCH_BODY_BYTES_MAX {
        &[]
    } else {
        // SAFETY: the array is an argument of the running call, so it stays where it is; no JavaScript
        // runs before the slice is gone, and the arrays that the log writes to are other allocations.
        unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) }
    };
    let answer = core.append(records);
    let mut value = null_mut();
    // SAFETY: `value` is a live local.
    unsafe { sys::napi_create_double(env, answer, &mut value) };
    value
}

pub unsafe extern "C" fn flush(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let mut data = null_mut();
    // SAFETY: the pointer is to a live local.
    let valid = unsafe {
        sys::napi_get_cb_info(env, info, null_mut(), null_mut(), null_mut(), &mut data)
            == sys::Status::napi_ok
    };
    if !valid || data.is_null() {
        return throw(env, c"flush was called without its log");
    }
    // SAFETY: the function holds a count of the Rc for as long as it can be called.
    let core = unsafe { &*data.cast::<RefCell<Core>>() };
    let Ok(mut core) = core.try_borrow_mut() else {
        return throw(env, c"the log is in the middle of a call");
    };
    core.flush(env);
    null_mut()
}
