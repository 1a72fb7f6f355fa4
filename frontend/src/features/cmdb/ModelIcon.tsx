import { AppWindow, Box, Boxes, Cloud, CloudCog, Cpu, Database, Globe, HardDrive, Landmark, Layers, MapPin, Network, Router, Server, ShieldCheck, Store, Users, type LucideIcon } from 'lucide-react';
import type { Model } from '../../api/types';
import { Icon } from '../../components/base';

const known: Record<string, LucideIcon> = {
  desktop: Server,
  appstore: AppWindow,
  bank: Landmark,
  cloud: Cloud,
  'cloud-server': CloudCog,
  cluster: Boxes,
  environment: MapPin,
  gateway: Router,
  'safety-certificate': ShieldCheck,
  shop: Store,
  team: Users,
  host: Server,
  server: Server,
  postgresql: Database,
  mysql: Database,
  redis: Layers,
  nginx: Globe,
  database: Database,
  business_application: AppWindow,
  application: AppWindow,
  app: AppWindow,
  users: Users,
  network: Network,
  globe: Globe,
  layers: Layers,
  cpu: Cpu,
  disk: HardDrive,
  boxes: Boxes,
};

export const modelIconNames = ['desktop', 'database', 'layers', 'globe', 'network', 'gateway', 'cpu', 'disk', 'cluster', 'appstore', 'cloud', 'bank', 'team', 'shop', 'environment', 'safety-certificate'];

export function ModelIcon({ model }: { model: Pick<Model, 'name' | 'icon'> }) {
  return <Icon of={known[model.icon ?? ''] ?? known[model.name] ?? Box} />;
}
