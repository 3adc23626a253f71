// The settings as command-line options, for every command that takes them.

import { type Command, Option } from 'commander';
import { CONFIG_VARIABLE, loadSettings } from '../config/config.js';
import {
  flagOf,
  SETTING_NAMES,
  SETTINGS,
  type Setting,
  type SettingName,
  type Settings,
  variableOf,
} from '../config/settings.js';
import { formatSize } from '../config/size.js';

export function addSettingsOptions(command: Command): Command {
  command.option('--config <PATH>', `JSON file with settings (also ${CONFIG_VARIABLE})`);
  for (const name of SETTING_NAMES) {
    const setting: Setting<unknown> = SETTINGS[name];
    const { placeholder, initial, isList } = setting;
    const flags = placeholder ? `${flagOf(name)} <${placeholder}>` : flagOf(name);
    const isShown = initial !== '' && initial !== false && !isList;
    const shown = placeholder === 'SIZE' ? formatSize(Number(initial)) : String(initial);
    const suffix = isShown ? ` (default: ${shown})` : '';
    const option = new Option(flags, `${setting.description}${suffix} [${variableOf(name)}]`);
    if (isList) {
      option.argParser<string[] | undefined>((value, before) => [...(before ?? []), value]);
    }
    command.addOption(option);
  }
  return command;
}

/** Throws `NodeError`; see `loadSettings`. */
export function settingsOf(options: Readonly<Record<string, unknown>>): Settings {
  const flags: Partial<Record<SettingName, unknown>> = {};
  for (const name of SETTING_NAMES) flags[name] = options[name];
  const configPath = typeof options.config === 'string' ? options.config : undefined;
  return loadSettings({ flags, environment: process.env, configPath });
}
