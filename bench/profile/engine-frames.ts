// Executes a number of frames with the native engine and nothing else, for a tool that counts what the
// process does: `engine-frames.js <frames> <operations a frame> <get|put> <keys>`.

import { makeSubject, type Task } from '../micro/workload.js';

const [frames = '0', batch = '1', task = 'get', keys = '1000'] = process.argv.slice(2);
const subject = makeSubject('native', Number(keys));
const run = subject.prepare(task as Task, Number(batch));
if (run === undefined) throw new Error(`no such task: ${task}`);
run(Number(frames));
subject.verify();
