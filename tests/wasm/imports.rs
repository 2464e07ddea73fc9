//! The functions that the module imports, on top of [`Host`]. An import that is not here ends the call with its name:
//! whoever makes the module use one adds it.

use wasmi::{Caller, Error, Linker, Memory, Module};

use crate::host::{self, BAD_ARGUMENT, CAS_MISMATCH, Host, NOT_FOUND, Reply};

/// Ends the import at once with the status that the test asked for.
macro_rules! fault {
    ($guest:expr, $import:literal) => {
        if let Some(status) = $guest.data_mut().called($import) {
            return Ok(status);
        }
    };
}

type Guest<'a> = Caller<'a, Host>;

/// The imports that the module calls while it serves; each can be made to fail.
pub const SERVING: [&str; 22] = [
    "proxy_log",
    "proxy_get_current_time_nanoseconds",
    "proxy_set_tick_period_milliseconds",
    "proxy_get_buffer_bytes",
    "proxy_set_buffer_bytes",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_add_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_get_property",
    "proxy_set_property",
    "proxy_get_shared_data",
    "proxy_set_shared_data",
    "proxy_continue_stream",
    "proxy_send_local_response",
    "proxy_call_foreign_function",
    "proxy_http_call",
    "proxy_set_effective_context",
    "proxy_define_metric",
    "proxy_increment_metric",
    "proxy_record_metric",
];

/// Every import of `module`.
pub fn linker(module: &Module) -> Linker<Host> {
    let mut linker = Linker::new(module.engine());
    maps(&mut linker).unwrap();
    bytes(&mut linker).unwrap();
    rest(&mut linker).unwrap();
    callouts(&mut linker).unwrap();
    wasi(&mut linker).unwrap();
    for import in module.imports() {
        let Some(ty) = import.ty().func() else { continue };
        let name = import.name().to_owned();
        // Those that are there already stay.
        let _ = linker.func_new(import.module(), import.name(), ty.clone(), move |_, _, _| {
            Err(Error::new(format!("the fake host has no {name}")))
        });
    }
    linker
}

fn maps(linker: &mut Linker<Host>) -> Result<(), Error> {
    linker.func_wrap(
        "env",
        "proxy_get_header_map_pairs",
        |mut guest: Guest<'_>, map: u32, data: u32, size: u32| -> Result<u32, Error> {
            fault!(guest, "proxy_get_header_map_pairs");
            let Some(stream) = guest.data_mut().stream() else { return Ok(BAD_ARGUMENT) };
            let raw = stream.raw_headers.clone().filter(|_| map == 0);
            let Some(bytes) = raw.or_else(|| stream.map(map).map(|headers| host::serialise(headers))) else {
                return Ok(BAD_ARGUMENT);
            };
            give(&mut guest, &bytes, data, size)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_header_map_value",
        |mut guest: Guest<'_>, map: u32, key: u32, key_size: u32, data: u32, size: u32| -> Result<u32, Error> {
            fault!(guest, "proxy_get_header_map_value");
            let key = read(&guest, key, key_size);
            let host = guest.data_mut();
            let headers = match map {
                6 => host.callout_reply.as_ref().map(|(headers, _)| headers.clone()),
                _ => host.stream().and_then(|stream| stream.map(map)).cloned(),
            };
            let Some(headers) = headers else { return Ok(BAD_ARGUMENT) };
            let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(&key));
            let Some(value) = found.map(|(_, value)| value.clone()) else { return Ok(NOT_FOUND) };
            give(&mut guest, &value, data, size)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_replace_header_map_value",
        |mut guest: Guest<'_>, map: u32, key: u32, key_size: u32, value: u32, size: u32| -> Result<u32, Error> {
            fault!(guest, "proxy_replace_header_map_value");
            let (key, value) = (read(&guest, key, key_size), read(&guest, value, size));
            let Some(headers) = guest.data_mut().stream().and_then(|stream| stream.map(map)) else {
                return Ok(BAD_ARGUMENT);
            };
            headers.retain(|(name, _)| !name.eq_ignore_ascii_case(&key));
            headers.push((key, value));
            Ok(0)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_add_header_map_value",
        |mut guest: Guest<'_>, map: u32, key: u32, key_size: u32, value: u32, size: u32| -> Result<u32, Error> {
            fault!(guest, "proxy_add_header_map_value");
            let header = (read(&guest, key, key_size), read(&guest, value, size));
            let Some(headers) = guest.data_mut().stream().and_then(|stream| stream.map(map)) else {
                return Ok(BAD_ARGUMENT);
            };
            headers.push(header);
            Ok(0)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_remove_header_map_value",
        |mut guest: Guest<'_>, map: u32, key: u32, key_size: u32| -> Result<u32, Error> {
            fault!(guest, "proxy_remove_header_map_value");
            let key = read(&guest, key, key_size);
            let Some(headers) = guest.data_mut().stream().and_then(|stream| stream.map(map)) else {
                return Ok(BAD_ARGUMENT);
            };
            headers.retain(|(name, _)| !name.eq_ignore_ascii_case(&key));
            Ok(0)
        },
    )?;
    Ok(())
}

fn bytes(linker: &mut Linker<Host>) -> Result<(), Error> {
    linker.func_wrap(
        "env",
        "proxy_get_buffer_bytes",
        |mut guest: Guest<'_>, kind: u32, start: u32, max: u32, data: u32, size: u32| -> Result<u32, Error> {
            fault!(guest, "proxy_get_buffer_bytes");
            let buffer = match kind {
                0 => guest.data_mut().stream().map(|stream| stream.body.clone()),
                4 => guest.data().callout_reply.as_ref().map(|(_, body)| body.clone()),
                1 => guest.data_mut().stream().and_then(|stream| stream.response_body.clone()),
                7 => Some(guest.data().configuration.clone()),
                _ => None,
            };
            let Some(buffer) = buffer else { return Ok(NOT_FOUND) };
            let start = buffer.len().min(start as usize);
            let end = buffer.len().min(start.saturating_add(max as usize));
            give(&mut guest, &buffer[start..end], data, size)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_buffer_bytes",
        |mut guest: Guest<'_>, kind: u32, start: u32, size: u32, data: u32, length: u32| -> Result<u32, Error> {
            fault!(guest, "proxy_set_buffer_bytes");
            let bytes = read(&guest, data, length);
            let buffer = guest.data_mut().stream().and_then(|stream| match kind {
                0 => Some(&mut stream.body),
                1 => stream.response_body.as_mut(),
                _ => None,
            });
            let Some(buffer) = buffer else { return Ok(NOT_FOUND) };
            assert!(
                start == 0 && (size == 0 || size as usize >= buffer.len()),
                "whole buffers are replaced, or added to"
            );
            let rest = if size == 0 { std::mem::take(buffer) } else { Vec::new() };
            *buffer = [bytes, rest].concat();
            Ok(0)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_property",
        |mut guest: Guest<'_>, path: u32, path_size: u32, data: u32, size: u32| -> Result<u32, Error> {
            fault!(guest, "proxy_get_property");
            let path = read(&guest, path, path_size);
            let found = guest.data_mut().stream().and_then(|stream| match path.as_slice() {
                b"source\0address" => stream.source_address.clone().map(String::into_bytes),
                other => stream.properties.get(other).cloned(),
            });
            let Some(value) = found else { return Ok(NOT_FOUND) };
            give(&mut guest, &value, data, size)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_property",
        |mut guest: Guest<'_>, path: u32, path_size: u32, value: u32, size: u32| -> Result<u32, Error> {
            fault!(guest, "proxy_set_property");
            let (path, value) = (read(&guest, path, path_size), read(&guest, value, size));
            if let Some(stream) = guest.data_mut().stream() {
                stream.properties.insert(path, value);
            }
            Ok(0)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_shared_data",
        |mut guest: Guest<'_>, key: u32, key_size: u32, data: u32, size: u32, cas: u32| -> Result<u32, Error> {
            fault!(guest, "proxy_get_shared_data");
            let key = read(&guest, key, key_size);
            let found = guest.data().shared.borrow().get(&key);
            let Some((value, version)) = found else { return Ok(NOT_FOUND) };
            write(&mut guest, cas, &version.to_le_bytes());
            give(&mut guest, &value, data, size)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_shared_data",
        |mut guest: Guest<'_>, key: u32, key_size: u32, value: u32, size: u32, cas: u32| -> Result<u32, Error> {
            fault!(guest, "proxy_set_shared_data");
            let (key, value) = (read(&guest, key, key_size), read(&guest, value, size));
            if let Some(mut rival) = guest.data_mut().rival.take() {
                rival();
                guest.data_mut().rival = Some(rival);
            }
            let done = guest.data().shared.borrow_mut().set(&key, &value, cas);
            Ok(if done { 0 } else { CAS_MISMATCH })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_call_foreign_function",
        |mut guest: Guest<'_>, name: u32, name_size: u32, _: u32, _: u32, data: u32, size: u32| -> Result<u32, Error> {
            fault!(guest, "proxy_call_foreign_function");
            let known = read(&guest, name, name_size) == b"verify_signature";
            let answer = guest.data().verify_signature.clone().filter(|_| known);
            let Some(answer) = answer else { return Ok(NOT_FOUND) };
            give(&mut guest, &answer, data, size)
        },
    )?;
    Ok(())
}

fn rest(linker: &mut Linker<Host>) -> Result<(), Error> {
    linker.func_wrap(
        "env",
        "proxy_log",
        |mut guest: Guest<'_>, level: u32, message: u32, size: u32| -> Result<u32, Error> {
            fault!(guest, "proxy_log");
            let line = String::from_utf8(read(&guest, message, size)).unwrap();
            guest.data_mut().log.push((level, line));
            Ok(0)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_current_time_nanoseconds",
        |mut guest: Guest<'_>, time: u32| -> Result<u32, Error> {
            fault!(guest, "proxy_get_current_time_nanoseconds");
            let now = guest.data().now;
            write(&mut guest, time, &now.to_le_bytes());
            Ok(0)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_tick_period_milliseconds",
        |mut guest: Guest<'_>, millis: u32| -> Result<u32, Error> {
            fault!(guest, "proxy_set_tick_period_milliseconds");
            guest.data_mut().tick_millis = millis;
            Ok(0)
        },
    )?;
    linker.func_wrap("env", "proxy_continue_stream", |mut guest: Guest<'_>, _: u32| -> Result<u32, Error> {
        fault!(guest, "proxy_continue_stream");
        if let Some(stream) = guest.data_mut().stream() {
            stream.resumed = true;
        }
        Ok(0)
    })?;
    linker.func_wrap(
        "env",
        "proxy_send_local_response",
        |mut guest: Guest<'_>,
         status: u32,
         details: u32,
         details_size: u32,
         body: u32,
         body_size: u32,
         headers: u32,
         headers_size: u32,
         grpc_status: i32|
         -> Result<u32, Error> {
            fault!(guest, "proxy_send_local_response");
            let reply = Reply {
                status,
                details: String::from_utf8(read(&guest, details, details_size)).unwrap(),
                headers: host::parse(&read(&guest, headers, headers_size)),
                body: String::from_utf8(read(&guest, body, body_size)).unwrap(),
                grpc_status,
            };
            if let Some(stream) = guest.data_mut().stream() {
                stream.replies.push(reply);
            }
            Ok(0)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_define_metric",
        |mut guest: Guest<'_>, kind: u32, name: u32, size: u32, id: u32| -> Result<u32, Error> {
            fault!(guest, "proxy_define_metric");
            let name = String::from_utf8(read(&guest, name, size)).unwrap();
            let metrics = &mut guest.data_mut().metrics;
            let at = metrics.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
                metrics.push((name, 0));
                metrics.len() - 1
            });
            if kind == 2 {
                guest.data_mut().histograms.insert(at as u32);
            }
            write(&mut guest, id, &(at as u32).to_le_bytes());
            Ok(0)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_increment_metric",
        |mut guest: Guest<'_>, id: u32, offset: i64| -> Result<u32, Error> {
            fault!(guest, "proxy_increment_metric");
            let Some((_, count)) = guest.data_mut().metrics.get_mut(id as usize) else { return Ok(NOT_FOUND) };
            *count += offset;
            Ok(0)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_record_metric",
        |mut guest: Guest<'_>, id: u32, value: u64| -> Result<u32, Error> {
            fault!(guest, "proxy_record_metric");
            let host = guest.data_mut();
            let Some((_, stands)) = host.metrics.get_mut(id as usize) else { return Ok(NOT_FOUND) };
            // Of a histogram, how often something was recorded.
            *stands = if host.histograms.contains(&id) { *stands + 1 } else { value as i64 };
            Ok(0)
        },
    )?;
    Ok(())
}

fn callouts(linker: &mut Linker<Host>) -> Result<(), Error> {
    linker.func_wrap(
        "env",
        "proxy_http_call",
        |mut guest: Guest<'_>,
         cluster: u32,
         cluster_size: u32,
         headers: u32,
         headers_size: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         timeout: u32,
         token: u32|
         -> Result<u32, Error> {
            fault!(guest, "proxy_http_call");
            let cluster = String::from_utf8(read(&guest, cluster, cluster_size)).unwrap();
            let headers = host::parse(&read(&guest, headers, headers_size));
            let host = guest.data_mut();
            host.last_token += 1;
            let sent = host::Callout { context: host.current, token: host.last_token, cluster, headers, timeout };
            let number = sent.token;
            host.callouts.push(sent);
            write(&mut guest, token, &number.to_le_bytes());
            Ok(0)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_effective_context",
        |mut guest: Guest<'_>, context: u32| -> Result<u32, Error> {
            fault!(guest, "proxy_set_effective_context");
            guest.data_mut().current = context;
            Ok(0)
        },
    )?;
    Ok(())
}

fn wasi(linker: &mut Linker<Host>) -> Result<(), Error> {
    let module = "wasi_snapshot_preview1";
    linker.func_wrap(module, "random_get", |mut guest: Guest<'_>, at: u32, size: u32| -> u32 {
        let bytes = guest.data_mut().random_bytes(size as usize);
        write(&mut guest, at, &bytes);
        0
    })?;
    linker.func_wrap(module, "environ_sizes_get", |mut guest: Guest<'_>, count: u32, size: u32| -> u32 {
        let variables = environment(&guest);
        let bytes: usize = variables.iter().map(Vec::len).sum();
        write(&mut guest, count, &(variables.len() as u32).to_le_bytes());
        write(&mut guest, size, &(bytes as u32).to_le_bytes());
        0
    })?;
    linker.func_wrap(module, "environ_get", |mut guest: Guest<'_>, mut list: u32, mut at: u32| -> u32 {
        for variable in environment(&guest) {
            write(&mut guest, list, &at.to_le_bytes());
            write(&mut guest, at, &variable);
            list += 4;
            at += variable.len() as u32;
        }
        0
    })?;
    // What the module prints is the message of a panic.
    linker.func_wrap(
        module,
        "fd_write",
        |mut guest: Guest<'_>, _: u32, list: u32, count: u32, written: u32| -> u32 {
            let word = |guest: &Guest<'_>, at: u32| u32::from_le_bytes(read(guest, at, 4).try_into().unwrap());
            let mut text = Vec::new();
            for entry in (0..count).map(|index| list + 8 * index) {
                text.extend(read(&guest, word(&guest, entry), word(&guest, entry + 4)));
            }
            write(&mut guest, written, &(text.len() as u32).to_le_bytes());
            eprintln!("{}", String::from_utf8_lossy(&text));
            0
        },
    )?;
    linker.func_wrap(module, "proc_exit", |_: Guest<'_>, code: u32| -> Result<(), Error> {
        Err(Error::new(format!("the module ended itself with {code}")))
    })?;
    Ok(())
}

fn environment(guest: &Guest<'_>) -> Vec<Vec<u8>> {
    guest.data().variables.iter().map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}

fn memory(guest: &Guest<'_>) -> Memory {
    guest.get_export("memory").unwrap().into_memory().unwrap()
}

fn read(guest: &Guest<'_>, at: u32, size: u32) -> Vec<u8> {
    if size == 0 {
        return Vec::new();
    }
    memory(guest).data(guest)[at as usize..at as usize + size as usize].to_vec()
}

fn write(guest: &mut Guest<'_>, at: u32, bytes: &[u8]) {
    memory(guest).write(guest, at as usize, bytes).unwrap();
}

/// Hands `bytes` over in memory that the module allocates.
fn give(guest: &mut Guest<'_>, bytes: &[u8], data: u32, size: u32) -> Result<u32, Error> {
    let mut at = 0;
    if !bytes.is_empty() {
        let allocate = guest.get_export("proxy_on_memory_allocate").unwrap().into_func().unwrap();
        at = allocate.typed::<u32, u32>(&*guest).unwrap().call(&mut *guest, bytes.len() as u32)?;
        write(guest, at, bytes);
    }
    write(guest, data, &at.to_le_bytes());
    write(guest, size, &(bytes.len() as u32).to_le_bytes());
    Ok(0)
}
